import {
  ILayoutRestorer,
  IRouter,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { launchIcon } from '@jupyterlab/ui-components';

import { createActions, trackingUrl } from '../actions';
import { createApi } from '../api/requests';
import { pageKey, PageWidget } from '../pages/page';
import { isResetting, LINK, linked, withoutLink } from '../links';
import { CommandIDs, IPerijove, PAGE_KINDS, type IPageArgs } from '../tokens';

/** The client, and the pages of things in the main area. */
export const core: JupyterFrontEndPlugin<IPerijove> = {
  id: 'perijove:core',
  description: 'Talks to the Perijove control plane and opens its pages.',
  autoStart: true,
  provides: IPerijove,
  optional: [
    INotebookTracker,
    ITranslator,
    ICommandPalette,
    ILayoutRestorer,
    IRenderMimeRegistry,
    IRouter
  ],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker | null,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    rendermime: IRenderMimeRegistry | null,
    router: IRouter | null
  ): IPerijove => {
    const trans = (translator ?? nullTranslator).load('perijove');
    const perijove: IPerijove = {
      trans,
      api: createApi(app.serviceManager.serverSettings, trans),
      actions: createActions(app, notebooks, trans),
      rendermime
    };
    addPages(app, perijove, restorer);
    if (router) {
      addLinks(app, perijove, router);
    }
    app.commands.addCommand(CommandIDs.openTracking, {
      label: trans.__('Open MLflow'),
      caption: trans.__('Open MLflow in a new browser tab'),
      icon: launchIcon,
      describedBy: {
        args: { type: 'object', properties: { place: { type: 'string' } } }
      },
      execute: ({ place }) => {
        window.open(trackingUrl(typeof place === 'string' ? place : ''), '_blank', 'noopener');
      }
    });
    palette?.addItem({ command: CommandIDs.openTracking, category: trans.__('Perijove') });
    return perijove;
  }
};

/** Let pages be opened once each, and come back after a reload. */
function addPages(
  { commands, shell }: JupyterFrontEnd,
  perijove: IPerijove,
  restorer: ILayoutRestorer | null
): void {
  const tracker = new WidgetTracker<MainAreaWidget<PageWidget>>({ namespace: 'perijove-page' });
  commands.addCommand(CommandIDs.openPage, {
    label: perijove.trans.__('Open a Perijove page'),
    describedBy: {
      args: {
        type: 'object',
        required: ['kind', 'id', 'title'],
        properties: {
          kind: { enum: [...PAGE_KINDS] },
          id: { type: 'string' },
          title: { type: 'string' }
        }
      }
    },
    execute: args => {
      const page = args as unknown as IPageArgs;
      const key = pageKey(page);
      let widget = tracker.find(open => pageKey(open.content.page) === key);
      if (!widget) {
        widget = new MainAreaWidget({ content: new PageWidget(perijove, page) });
        widget.toolbar.hide();
        widget.id = `perijove-page-${key}`;
        void tracker.add(widget);
      }
      if (!widget.isAttached) {
        shell.add(widget, 'main');
      }
      shell.activateById(widget.id);
    }
  });
  void restorer?.restore(tracker, {
    command: CommandIDs.openPage,
    args: ({ content }) => ({ ...content.page }),
    name: ({ content }) => pageKey(content.page)
  });
}

/** Open the page that the address names, as somebody was sent it, once everything is in place. */
function addLinks(app: JupyterFrontEnd, { trans }: IPerijove, router: IRouter): void {
  app.commands.addCommand(CommandIDs.followLink, {
    label: trans.__('Open the Perijove page that the address names'),
    describedBy: { args: { type: 'object', properties: { search: { type: 'string' } } } },
    execute: async args => {
      const { path, search, hash } = args as unknown as IRouter.ILocation;
      const page = linked(search ?? '');
      if (isResetting(search ?? '')) {
        return;
      }
      await app.restored;
      // Else each reload would open it again.
      router.navigate(path + withoutLink(search ?? '') + hash, { skipRouting: true });
      if (page) {
        await app.commands.execute(CommandIDs.openPage, { ...page, title: '' });
      }
    }
  });
  router.register({ command: CommandIDs.followLink, pattern: LINK });
}
