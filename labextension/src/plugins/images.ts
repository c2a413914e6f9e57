import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, showDialog } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';

import { asProblem } from '../api/requests';
import { perijoveIcon } from '../icons';
import { BuildEndings } from '../images/endings';
import { buildImage } from '../images/imageForm';
import { stopWorkspace } from '../images/requests';
import { goWhenStopped, spawnUrl } from '../images/start';
import { CommandIDs, IPerijove } from '../tokens';
import { serverName } from '../workspace/watch';

/** Build images, and start the next workspace with one. */
export const images: JupyterFrontEndPlugin<void> = {
  id: 'perijove:images',
  description: 'Builds images and starts workspaces with them.',
  autoStart: true,
  requires: [IPerijove],
  optional: [ILauncher, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    perijove: IPerijove,
    launcher: ILauncher | null,
    palette: ICommandPalette | null
  ): void => {
    const { trans } = perijove;
    const category = trans.__('Perijove');
    app.commands.addCommand(CommandIDs.newImage, {
      label: args => (args.isPalette ? trans.__('New image…') : trans.__('New image')),
      caption: trans.__('Build an environment with the packages you need'),
      icon: perijoveIcon,
      describedBy: { args: { type: 'object', properties: { isPalette: { type: 'boolean' } } } },
      execute: () => buildImage(perijove)
    });
    app.commands.addCommand(CommandIDs.startWith, {
      label: trans.__('Start a workspace with an image'),
      describedBy: {
        args: { type: 'object', required: ['image'], properties: { image: { type: 'string' } } }
      },
      execute: ({ image }) => startWith(app, perijove, image as string)
    });
    launcher?.add({ command: CommandIDs.newImage, category, rank: 1 });
    palette?.addItem({ command: CommandIDs.newImage, category, args: { isPalette: true } });
    const { baseUrl } = app.serviceManager.serverSettings;
    const endings = new BuildEndings(perijove, `perijove:builds:${baseUrl}`);
    void app.restored.then(() => endings.start());
  }
};

/** End this workspace and go to where the next one is chosen; nothing starts by itself. */
async function startWith(
  { commands, serviceManager }: JupyterFrontEnd,
  { api, trans }: IPerijove,
  image: string
): Promise<void> {
  const { button } = await showDialog({
    title: trans.__('Start a workspace with %1?', image),
    body: trans.__(
      'You have one workspace at a time. This one saves what is open and stops: its kernels and terminals end, your files stay. Then you choose a size and press Start.'
    ),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Save and stop') })]
  });
  if (!button.accept) {
    return;
  }
  try {
    await commands.execute('docmanager:save-all');
    const server = await serverName(serviceManager.serverSettings);
    await stopWorkspace(api, server);
    void showDialog({
      title: trans.__('Your workspace stops…'),
      body: trans.__('The page to start the next one opens by itself.'),
      buttons: []
    });
    await goWhenStopped(spawnUrl(image, server));
  } catch (error) {
    const { title, detail, fix } = asProblem(error);
    await showDialog({
      title: trans.__('Your workspace goes on'),
      body: [detail ?? title, fix].filter(Boolean).join(' '),
      buttons: [Dialog.okButton()]
    });
  }
}
