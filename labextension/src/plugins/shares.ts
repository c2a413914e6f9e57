import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import { shareIcon } from '@jupyterlab/ui-components';

import { asProblem } from '../api/requests';
import type { ShareCreate } from '../api/types';
import { shareNotebook } from '../shares/shareForm';
import { CommandIDs, IPerijove } from '../tokens';
import { serverName } from '../workspace/watch';

/** Share notebooks: from the file browser's menu (by `schema/shares.json`) and the palette. */
export const shares: JupyterFrontEndPlugin<void> = {
  id: 'perijove:shares',
  description: 'Shares copies of notebooks with people and groups.',
  autoStart: true,
  requires: [IPerijove],
  optional: [INotebookTracker, IFileBrowserFactory, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    perijove: IPerijove,
    notebooks: INotebookTracker | null,
    browsers: IFileBrowserFactory | null,
    palette: ICommandPalette | null
  ): void => {
    const { trans } = perijove;

    /** What is right-clicked, else what is open. */
    const chosen = (fromBrowser: boolean): string | undefined => {
      const browser = browsers?.tracker.currentWidget;
      const item = fromBrowser && browser ? [...browser.selectedItems()][0] : undefined;
      return item?.type === 'notebook' ? item.path : notebooks?.currentWidget?.context.path;
    };

    /** The notebook as it is open now, else as it lies on disk. */
    const contentOf = async (path: string): Promise<ShareCreate['notebook']> => {
      const open = notebooks?.find(panel => panel.context.path === path);
      if (open) {
        return open.context.model.toJSON() as ShareCreate['notebook'];
      }
      const file = await app.serviceManager.contents.get(path, { content: true });
      return file.content as ShareCreate['notebook'];
    };

    app.commands.addCommand(CommandIDs.shareNotebook, {
      label: trans.__('Share…'),
      caption: trans.__('Give a person or a group a copy of this notebook'),
      icon: shareIcon,
      describedBy: { args: { type: 'object', properties: { browser: { type: 'boolean' } } } },
      execute: async ({ browser }) => {
        const path = chosen(browser === true);
        if (!path) {
          await showDialog({
            title: trans.__('No notebook is open'),
            body: trans.__('Open the notebook that you want to share, then try again.'),
            buttons: [Dialog.okButton()]
          });
          return;
        }
        try {
          const content = await contentOf(path);
          const server = await serverName(app.serviceManager.serverSettings);
          const share = await shareNotebook(perijove, { path, content, server });
          if (share) {
            const who = share.group ?? share.receiver ?? '';
            Notification.success(trans.__('%1 is shared with %2', share.name, who), {
              autoClose: 5000
            });
          }
        } catch (error) {
          const { detail, title, fix } = asProblem(error);
          await showDialog({
            title: trans.__('This notebook cannot be shared'),
            body: [detail ?? title, fix].filter(Boolean).join(' '),
            buttons: [Dialog.okButton()]
          });
        }
      }
    });
    app.commands.addCommand(CommandIDs.openShares, {
      label: trans.__('Shared notebooks'),
      caption: trans.__('Notebooks that others share with you, and those you share'),
      icon: shareIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () =>
        perijove.actions.open({
          kind: 'shares',
          id: 'all',
          title: trans.__('Shared notebooks')
        })
    });
    for (const command of [CommandIDs.shareNotebook, CommandIDs.openShares]) {
      palette?.addItem({ command, category: trans.__('Perijove') });
    }
  }
};
