import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';

import { asProblem } from '../api/requests';
import type { JobCreate } from '../api/types';
import { perijoveIcon } from '../icons';
import { imageHere } from '../images/here';
import { promoteNotebook } from '../jobs/promoteForm';
import { CommandIDs, IPerijove } from '../tokens';

/** How long the good news stays, in milliseconds. */
const BRIEFLY = 5000;

/** Promote the open notebook: in its toolbar (by `schema/promote.json`) and the palette. */
export const promote: JupyterFrontEndPlugin<void> = {
  id: 'perijove:promote',
  description: 'Turns the open notebook into a job.',
  autoStart: true,
  requires: [IPerijove, INotebookTracker],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    perijove: IPerijove,
    notebooks: INotebookTracker,
    palette: ICommandPalette | null
  ): void => {
    const { trans } = perijove;
    app.commands.addCommand(CommandIDs.promoteNotebook, {
      label: trans.__('Promote notebook to a job…'),
      caption: trans.__('Turn this notebook into a Perijove job'),
      icon: perijoveIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => run(app, perijove, notebooks)
    });
    palette?.addItem({
      command: CommandIDs.promoteNotebook,
      category: trans.__('Perijove')
    });
  }
};

async function run(
  app: JupyterFrontEnd,
  perijove: IPerijove,
  notebooks: INotebookTracker
): Promise<void> {
  const { actions, trans } = perijove;
  const panel = notebooks.currentWidget;
  const content = panel?.context.model.toJSON();
  if (!panel || typeof content !== 'object' || content === null) {
    await showDialog({
      title: trans.__('No notebook is open'),
      body: trans.__('Open the notebook that should become a job, then promote it.'),
      buttons: [Dialog.okButton()]
    });
    return;
  }
  try {
    const job = await promoteNotebook(perijove, {
      path: panel.context.path,
      content: content as JobCreate['notebook'],
      image: imageOf(app, panel)
    });
    if (job) {
      const { version } = job.latest;
      Notification.success(trans.__('%1 is promoted as version %2', job.name, version), {
        autoClose: BRIEFLY
      });
      actions.open({ kind: 'job', id: job.id, title: job.name });
    }
  } catch (error) {
    const { title, detail, fix } = asProblem(error);
    await showDialog({
      title: trans.__('This notebook cannot be promoted'),
      body: [detail ?? title, fix].filter(Boolean).join(' '),
      buttons: [Dialog.okButton()]
    });
  }
}

/** The image that a notebook's kernel runs in: a remote one's own, else the workspace's. */
function imageOf({ serviceManager }: JupyterFrontEnd, panel: NotebookPanel): string | null {
  const name = panel.sessionContext.session?.kernel?.name ?? '';
  const metadata = serviceManager.kernelspecs.specs?.kernelspecs[name]?.metadata;
  const provisioner = metadata?.['kernel_provisioner'] as
    { provisioner_name: string; config?: { image?: string | null } } | undefined;
  return provisioner?.provisioner_name === 'perijove'
    ? (provisioner.config?.image ?? null)
    : imageHere();
}
