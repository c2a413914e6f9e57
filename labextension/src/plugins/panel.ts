import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';

import { perijoveIcon } from '../icons';
import { PerijovePanel } from '../panel/panel';
import { CommandIDs, IPerijove, type TabName } from '../tokens';

/** Right below the file browser and the running kernels. */
const RANK = 250;

/** The panel in the left bar. */
export const panel: JupyterFrontEndPlugin<void> = {
  id: 'perijove:panel',
  description: 'Data, experiments, jobs, models and images in one panel.',
  autoStart: true,
  requires: [IPerijove],
  optional: [ILabShell, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    perijove: IPerijove,
    labShell: ILabShell | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const { trans } = perijove;
    const widget = new PerijovePanel(perijove);
    app.shell.add(widget, 'left', { rank: RANK, type: 'Perijove' });
    restorer?.add(widget, 'perijove-panel');
    const labels: Record<TabName, string> = {
      data: trans.__('Show Data'),
      experiments: trans.__('Show Experiments'),
      jobs: trans.__('Show Jobs'),
      models: trans.__('Show Models'),
      images: trans.__('Show Images')
    };
    const isTab = (tab: unknown): tab is TabName => typeof tab === 'string' && tab in labels;
    app.commands.addCommand(CommandIDs.showPanel, {
      label: ({ tab }) => (isTab(tab) ? labels[tab] : trans.__('Show Perijove')),
      icon: perijoveIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: { tab: { enum: Object.keys(labels) } }
        }
      },
      execute: ({ tab }) => {
        if (isTab(tab)) {
          widget.showTab(tab);
        }
        labShell?.expandLeft();
        app.shell.activateById(widget.id);
      }
    });
    for (const tab of Object.keys(labels)) {
      palette?.addItem({
        command: CommandIDs.showPanel,
        category: trans.__('Perijove'),
        args: { tab }
      });
    }
  }
};
