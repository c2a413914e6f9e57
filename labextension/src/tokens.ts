import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';

import type { IApi } from './api/requests';
import type { ISpecSource } from './images/sources';

/** Commands of the front end; all of them are in the palette or on a button. */
export namespace CommandIDs {
  export const followLink = 'perijove:follow-link';
  export const newImage = 'perijove:new-image';
  export const openPage = 'perijove:open-page';
  export const shareNotebook = 'perijove:share-notebook';
  export const showPanel = 'perijove:show-panel';
  export const promoteNotebook = 'perijove:promote-notebook';
  export const keepAlive = 'perijove:keep-alive';
  export const openShares = 'perijove:open-shares';
  export const openTracking = 'perijove:open-tracking';
  export const startWith = 'perijove:start-with';
}

/** Things that have a page of their own. */
export const PAGE_KINDS = [
  'backfill',
  'build',
  'comparison',
  'dataset',
  'deployment',
  'experiment',
  'image',
  'job',
  'job-diff',
  'run',
  'shares',
  'sweep'
] as const;

export type PageKind = (typeof PAGE_KINDS)[number];

/** What a main-area tab shows; survives a reload. */
export interface IPageArgs {
  kind: PageKind;
  /** The thing's id or unique name, as the API takes it. */
  id: string;
  /** The tab's label. */
  title: string;
}

/** The panel's tabs. */
export type TabName = 'data' | 'experiments' | 'jobs' | 'models' | 'images';

/** What leaves need from JupyterLab. */
export interface IActions {
  /** Open a thing's page, or bring it to the front. */
  open(page: IPageArgs): void;

  /** Put code into a new cell below the active one of the open notebook. */
  insertCell(source: string): void;

  /** Copy text and say so. */
  copy(text: string): void;

  /** Turn the open notebook into a job. */
  promote(): void;

  /** Find what an image's form can be filled in from. */
  specSources(): Promise<ISpecSource[]>;

  /** Stop this workspace and choose the next one's size, with an image chosen already. */
  startWith(image: string): void;

  /** Write a copy of a shared notebook into the home and open it. */
  takeShare(id: string): Promise<void>;

  /** Open MLflow in a new browser tab, at a place of its own such as `#/experiments/1`. */
  openTracking(place?: string): void;
}

/** Perijove in this JupyterLab. */
export interface IPerijove {
  readonly api: IApi;
  readonly trans: TranslationBundle;
  readonly actions: IActions;
  /** What draws charts; null where JupyterLab has none. */
  readonly rendermime: IRenderMimeRegistry | null;
}

export const IPerijove = new Token<IPerijove>(
  'perijove:IPerijove',
  'The client of the control plane and what its panels do in JupyterLab.'
);
