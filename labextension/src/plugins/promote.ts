import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';

import { asProblem } from '../api/requests';
import type { JobCreate } from '../api/types';
import { perijoveIcon } from '../icons';
import { imageHere } from '../images/here';
import { findInputs } from '../jobs/inputs';
import { promoteNotebook, type INotebookSource } from '../jobs/promoteForm';
import { CommandIDs, IPerijove } from '../tokens';

/** How long the good news stays, in milliseconds. */
const BRIEFLY = 5000;

type Notebook = JobCreate['notebook'];

/**
 * Promote notebooks: the open one from its toolbar and the palette, any from the file browser's
 * menu (both by `schema/promote.json`).
 */
export const promote: JupyterFrontEndPlugin<void> = {
  id: 'perijove:promote',
  description: 'Turns notebooks into jobs.',
  autoStart: true,
  requires: [IPerijove, INotebookTracker],
  optional: [IFileBrowserFactory, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    perijove: IPerijove,
    notebooks: INotebookTracker,
    browsers: IFileBrowserFactory | null,
    palette: ICommandPalette | null
  ): void => {
    const { trans } = perijove;

    /** The one notebook that is right-clicked; null when several things are selected. */
    const clicked = (): string | null => {
      const [item, ...others] = browsers?.tracker.currentWidget?.selectedItems() ?? [];
      return item?.type === 'notebook' && others.length === 0 ? item.path : null;
    };

    app.commands.addCommand(CommandIDs.promoteNotebook, {
      label: ({ browser }) =>
        browser ? trans.__('Promote to a job…') : trans.__('Promote notebook to a job…'),
      caption: trans.__('Turn this notebook into a Perijove job'),
      icon: perijoveIcon,
      isVisible: ({ browser }) => !browser || clicked() !== null,
      describedBy: { args: { type: 'object', properties: { browser: { type: 'boolean' } } } },
      execute: ({ browser }) => {
        const path = browser === true ? clicked() : notebooks.currentWidget?.context.path;
        return path ? run(perijove, () => sourceOf(app, notebooks, path)) : sayNone(perijove);
      }
    });
    palette?.addItem({
      command: CommandIDs.promoteNotebook,
      category: trans.__('Perijove')
    });
  }
};

async function sayNone({ trans }: IPerijove): Promise<void> {
  await showDialog({
    title: trans.__('No notebook is open'),
    body: trans.__(
      'Open the notebook that should become a job, or right-click it in the file browser.'
    ),
    buttons: [Dialog.okButton()]
  });
}

/** The notebook as it is open now, else as it lies on disk. */
async function sourceOf(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  path: string
): Promise<INotebookSource> {
  const { contents, serverSettings } = app.serviceManager;
  const open = notebooks.find(panel => panel.context.path === path);
  const found = findInputs(serverSettings, path);
  const content = open
    ? (open.context.model.toJSON() as Notebook)
    : ((await contents.get(path, { type: 'notebook', content: true })).content as Notebook);
  return {
    path,
    content,
    image: imageOf(app, kernelOf(content, open)),
    unsaved: open?.context.model.dirty ?? false,
    inputs: await found
  };
}

async function run(perijove: IPerijove, read: () => Promise<INotebookSource>): Promise<void> {
  const { actions, trans } = perijove;
  try {
    const job = await promoteNotebook(perijove, await read());
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

/** The kernel that a notebook runs in, or would. */
function kernelOf(content: Notebook, open?: NotebookPanel): string {
  const metadata = content['metadata'] as { kernelspec?: { name?: string } } | undefined;
  return open?.sessionContext.session?.kernel?.name ?? metadata?.kernelspec?.name ?? '';
}

/** The image that a kernel runs in: a remote one's own, else the workspace's. */
function imageOf({ serviceManager }: JupyterFrontEnd, kernel: string): string | null {
  const metadata = serviceManager.kernelspecs.specs?.kernelspecs[kernel]?.metadata;
  const provisioner = metadata?.['kernel_provisioner'] as
    { provisioner_name: string; config?: { image?: string | null } } | undefined;
  return provisioner?.provisioner_name === 'perijove'
    ? (provisioner.config?.image ?? null)
    : imageHere();
}
