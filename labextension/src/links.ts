import { PageConfig, URLExt } from '@jupyterlab/coreutils';

import { PAGE_KINDS, type IPageArgs, type PageKind } from './tokens';

/** The part of a query that names a page. */
const NAME = 'perijove';

/** What a JupyterLab's address has when it is a link to a page. */
export const LINK = /[?&]perijove=/;

/**
 * Write an address that opens a page in the JupyterLab of whoever follows it.
 *
 * @returns One that works for everybody where there is a Hub, else one of this server.
 */
export function linkTo({ kind, id }: IPageArgs): string {
  const hub = PageConfig.getOption('hubPrefix');
  const lab = hub
    ? PageConfig.getOption('hubHost') + URLExt.join(hub, 'user-redirect', 'lab')
    : URLExt.join(PageConfig.getBaseUrl(), 'lab');
  const query = new URLSearchParams({ [NAME]: `${kind}:${id}` });
  return new URL(`${lab}?${query.toString()}`, window.location.href).href;
}

/** Read which page an address's query names; null for none that there is. */
export function linked(search: string): { kind: PageKind; id: string } | null {
  const [kind, ...rest] = (new URLSearchParams(search).get(NAME) ?? '').split(':');
  const known = PAGE_KINDS.find(one => one === kind);
  return known ? { kind: known, id: rest.join(':') } : null;
}

/** The query without the page that it names. */
export function withoutLink(search: string): string {
  const query = new URLSearchParams(search);
  query.delete(NAME);
  const rest = query.toString();
  return rest && `?${rest}`;
}

/**
 * Whether JupyterLab empties a workspace first, as it does for a second window; then it comes back
 * with the rest of the query.
 */
export function isResetting(search: string): boolean {
  const query = new URLSearchParams(search);
  return query.has('reset') || query.has('clone');
}
