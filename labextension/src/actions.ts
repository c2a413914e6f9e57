import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import { NotebookActions, type INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import { specSources } from './images/sources';
import { takeShare } from './shares/requests';
import { CommandIDs, type IActions } from './tokens';

/** How long a confirmation stays, in milliseconds. */
const BRIEFLY = 3000;

/** What leaves can do in this JupyterLab. */
export function createActions(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker | null,
  trans: TranslationBundle
): IActions {
  const { commands, serviceManager } = app;
  const copy = (text: string, message = trans.__('Copied')): void => {
    Clipboard.copyToSystem(text);
    Notification.success(message, { autoClose: BRIEFLY });
  };
  return {
    open: page => void commands.execute(CommandIDs.openPage, { ...page }),
    promote: () => void commands.execute(CommandIDs.promoteNotebook),
    startWith: image => void commands.execute(CommandIDs.startWith, { image }),
    openTracking: (place = '') => void commands.execute(CommandIDs.openTracking, { place }),
    specSources: () => specSources(app, notebooks, trans),
    copy: text => copy(text),
    async takeShare(id) {
      const { path } = await takeShare(serviceManager.serverSettings, id);
      await commands.execute('docmanager:open', { path });
    },
    insertCell(source) {
      const panel = notebooks?.currentWidget;
      if (!panel) {
        copy(source, trans.__('No notebook is open: the cell is copied for you to paste.'));
        return;
      }
      const { content: notebook } = panel;
      NotebookActions.insertBelow(notebook);
      notebook.activeCell?.model.sharedModel.setSource(source);
      if (notebook.activeCell) {
        void notebook.scrollToCell(notebook.activeCell);
      }
    }
  };
}

/**
 * Where MLflow's pages are: beside the Hub, not under the user's server.
 *
 * @param place - A fragment such as `#/experiments/1`.
 */
export function trackingUrl(place: string): string {
  const hub = PageConfig.getOption('hubPrefix') || '/hub/';
  const host = PageConfig.getOption('hubHost');
  return host + URLExt.join(hub, '..', 'services', 'mlflow') + '/' + place;
}
