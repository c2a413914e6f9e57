import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import { IStatusBar } from '@jupyterlab/statusbar';

import { CommandIDs, IPerijove } from '../tokens';
import { StatusItem, StatusModel } from '../workspace/status';
import { Waits } from '../workspace/waits';
import { Warnings } from '../workspace/warnings';
import { WorkspaceWatch } from '../workspace/watch';

/** The workspace in the status bar, warnings before its end, and what kernels wait for. */
export const workspace: JupyterFrontEndPlugin<void> = {
  id: 'perijove:workspace',
  description:
    'Shows memory, idle time and cost of the workspace, its end, and what kernels wait for.',
  autoStart: true,
  requires: [IPerijove],
  optional: [IStatusBar, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    { api, trans }: IPerijove,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null
  ): void => {
    const watch = new WorkspaceWatch(app.serviceManager.serverSettings, api);
    new Warnings(
      watch,
      {
        saveAll: async () => {
          await app.commands.execute('docmanager:save-all').catch(() => undefined);
        },
        openHub: () => {
          const hub = PageConfig.getOption('hubPrefix') || '/hub/';
          const place = PageConfig.getOption('hubHost') + URLExt.join(hub, 'home');
          window.open(place, '_blank', 'noopener');
        }
      },
      trans
    );
    new Waits(watch, api, trans);
    app.serviceManager.sessions.runningChanged.connect(() => watch.refresh());
    app.commands.addCommand(CommandIDs.keepAlive, {
      label: trans.__('Keep this workspace alive'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => watch.keepAlive()
    });
    palette?.addItem({ command: CommandIDs.keepAlive, category: trans.__('Perijove') });
    if (statusBar) {
      const model = new StatusModel();
      watch.changed.connect((_, snapshot) => model.show(snapshot));
      statusBar.registerStatusItem('perijove:workspace', {
        item: new StatusItem(model, trans, () => void app.commands.execute(CommandIDs.keepAlive)),
        align: 'right',
        rank: 30
      });
    }
    void app.restored.then(() => watch.start());
  }
};
