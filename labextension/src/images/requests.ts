import type { IApi } from '../api/requests';
import type {
  Build,
  Image,
  ImageBuild,
  ImageVersion,
  IPage,
  LogChunk,
  Package
} from '../api/types';

/** The most the API gives at once. */
const MOST = 500;
/** Builds of one user that are looked at: more than may wait at once. */
const NEWEST = 20;

/** An image that fits some words. */
export interface IFound {
  image: Image;
  /** The package of its current version that fits, when nothing else does. */
  having?: string;
}

/** List images whose name or description has the words, then those that hold such a package. */
export async function findImages(api: IApi, words: string, limit: number): Promise<IPage<IFound>> {
  const [named, holding] = await Promise.all([
    api.answer(api.client.GET('/images', { params: { query: { q: words || null, limit } } })),
    words
      ? api.answer(api.client.GET('/images', { params: { query: { package: words, limit } } }))
      : undefined
  ]);
  const known = new Set(named.items.map(({ id }) => id));
  const others = holding?.items.filter(({ id }) => !known.has(id)) ?? [];
  return {
    items: [
      ...named.items.map(image => ({ image })),
      ...others.map(image => ({ image, having: words }))
    ],
    next_cursor: named.next_cursor ?? holding?.next_cursor
  };
}

/** List the images that can start now. */
export async function listStartable(api: IApi): Promise<Image[]> {
  const { items } = await api.answer(
    api.client.GET('/images', { params: { query: { limit: MOST } } })
  );
  return items.filter(({ current }) => current);
}

export function getImage(api: IApi, name: string): Promise<Image> {
  return api.answer(api.client.GET('/images/{name}', { params: { path: { name } } }));
}

export function listVersions(api: IApi, name: string, limit: number): Promise<IPage<ImageVersion>> {
  return api.answer(
    api.client.GET('/images/{name}/versions', { params: { path: { name }, query: { limit } } })
  );
}

export function getVersion(api: IApi, name: string, version: number): Promise<ImageVersion> {
  return api.answer(
    api.client.GET('/images/{name}/versions/{version}', { params: { path: { name, version } } })
  );
}

export function listPackages(
  api: IApi,
  name: string,
  version: number,
  q: string,
  limit: number
): Promise<IPage<Package>> {
  return api.answer(
    api.client.GET('/images/{name}/versions/{version}/packages', {
      params: { path: { name, version }, query: { q: q || null, limit } }
    })
  );
}

export function approve(api: IApi, name: string, version: number): Promise<ImageVersion> {
  return api.answer(
    api.client.POST('/images/{name}/versions/{version}/approve', {
      params: { path: { name, version } }
    })
  );
}

export function retire(api: IApi, name: string, version: number): Promise<ImageVersion> {
  return api.answer(
    api.client.POST('/images/{name}/versions/{version}/retire', {
      params: { path: { name, version } }
    })
  );
}

export function rollBack(api: IApi, name: string, version: number): Promise<Image> {
  return api.answer(
    api.client.POST('/images/{name}/rollback', { params: { path: { name } }, body: { version } })
  );
}

export function build(api: IApi, wanted: ImageBuild, key: string): Promise<Build> {
  return api.answer(
    api.client.POST('/images', { body: wanted, params: { header: { 'idempotency-key': key } } })
  );
}

/** List the newest builds the caller asked for. */
export async function listMyBuilds(api: IApi): Promise<Build[]> {
  const { items } = await api.answer(
    api.client.GET('/builds', { params: { query: { limit: NEWEST } } })
  );
  return items;
}

export function getBuild(api: IApi, id: string): Promise<Build> {
  return api.answer(api.client.GET('/builds/{build_id}', { params: { path: { build_id: id } } }));
}

export function cancelBuild(api: IApi, id: string): Promise<Build> {
  return api.answer(
    api.client.POST('/builds/{build_id}/cancel', { params: { path: { build_id: id } } })
  );
}

export function getBuildLog(api: IApi, id: string, offset: number): Promise<LogChunk> {
  return api.answer(
    api.client.GET('/builds/{build_id}/log', {
      params: { path: { build_id: id }, query: { offset } }
    })
  );
}

/** Have the Hub stop the caller's own workspace; answers before it has stopped. */
export async function stopWorkspace(api: IApi, server: string): Promise<void> {
  await api.answer(api.client.POST('/workspaces/stop', { body: { server } }));
}
