import type { IApi } from '../api/requests';
import type { Dataset, DatasetSummary, IPage, Source, Table } from '../api/types';

/** Rows a preview shows. */
export const PREVIEW_ROWS = 50;

/** The most datasets the tree asks for at once. */
const MOST = 500;

export function listSources(api: IApi): Promise<IPage<Source>> {
  return api.answer(api.client.GET('/sources'));
}

export function listDatasets(
  api: IApi,
  query: { q?: string; source?: string }
): Promise<IPage<DatasetSummary>> {
  return api.answer(api.client.GET('/datasets', { params: { query: { ...query, limit: MOST } } }));
}

export function getDataset(api: IApi, name: string): Promise<Dataset> {
  return api.answer(api.client.GET('/datasets/{name}', { params: { path: { name } } }));
}

export function previewDataset(api: IApi, name: string): Promise<Table> {
  return api.answer(
    api.client.GET('/datasets/{name}/preview', {
      params: { path: { name }, query: { limit: PREVIEW_ROWS } }
    })
  );
}
