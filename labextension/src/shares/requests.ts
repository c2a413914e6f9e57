import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { PerijoveError, type IApi, type IProblem } from '../api/requests';
import type { Box, IPage, Share, ShareCreate } from '../api/types';

/** Where the copy of a share lies now. */
export interface ITaken {
  /** Relative to what the file browser shows as its root. */
  path: string;
  sender: string;
  image: string | null;
  image_digest: string | null;
}

/** List what others share with the caller, or what the caller shares. */
export const listShares = (api: IApi, box: Box, q: string, limit: number): Promise<IPage<Share>> =>
  api.answer(api.client.GET('/shares', { params: { query: { box, q: q || undefined, limit } } }));

/** Share a copy of a notebook. */
export const createShare = (api: IApi, body: ShareCreate, key: string): Promise<Share> =>
  api.answer(api.client.POST('/shares', { body, params: { header: { 'idempotency-key': key } } }));

/** See a share no more that was given to the caller: who has a copy keeps it. */
export const dismissShare = (api: IApi, id: string): Promise<unknown> =>
  api.answer(api.client.POST('/shares/{share_id}/dismiss', { params: { path: { share_id: id } } }));

/** Take a share back: who has a copy keeps it. */
export const deleteShare = (api: IApi, id: string): Promise<unknown> =>
  api.answer(api.client.DELETE('/shares/{share_id}', { params: { path: { share_id: id } } }));

/** Have the user's own server write a copy of a share into the home. */
export async function takeShare(settings: ServerConnection.ISettings, id: string): Promise<ITaken> {
  const url = URLExt.join(settings.baseUrl, 'perijove/shares', encodeURIComponent(id), 'take');
  const response = await ServerConnection.makeRequest(url, { method: 'POST' }, settings);
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    throw new PerijoveError(
      (body as IProblem | null) ?? { title: response.statusText, status: response.status }
    );
  }
  return body as ITaken;
}
