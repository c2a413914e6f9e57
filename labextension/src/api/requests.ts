import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import createClient, { type Client } from 'openapi-fetch';

import type { paths } from './schema';

/** The control plane's routes, as the user's own server forwards them. */
type Routes = {
  [
    Path in keyof paths as Path extends `/services/perijove/api/v1${infer Rest}` ? Rest : never
  ]: paths[Path];
};

/** Where the server extension answers, under the server's base URL. */
const FORWARDER = 'perijove/api';

/** An error as RFC 9457 has it, with the field at fault and how to mend it. */
export interface IProblem {
  title: string;
  status: number;
  detail?: string;
  field?: string | null;
  fix?: string | null;
}

/** Every failure of a request: refused, broken, or not answered at all. */
export class PerijoveError extends Error {
  constructor(readonly problem: IProblem) {
    super(problem.detail ?? problem.title);
  }
}

/** The typed client and the one place that reads its answers. */
export interface IApi {
  readonly client: Client<Routes>;

  /**
   * Wait for an answer.
   *
   * @param request - What a method of `client` returned.
   * @returns The answer's body.
   * @throws `PerijoveError` for every failure.
   */
  answer<T>(request: Promise<IAnswer<T>>): Promise<T>;

  /** The URL of a resource for a frame or a download. */
  url(...path: string[]): string;
}

interface IAnswer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/**
 * Make a client that goes through the user's own server.
 *
 * @param settings - How to reach that server.
 * @param trans - Translates failures that carry no text of their own.
 */
export function createApi(settings: ServerConnection.ISettings, trans: TranslationBundle): IApi {
  const baseUrl = URLExt.join(settings.baseUrl, FORWARDER);
  const client = createClient<Routes>({
    baseUrl,
    fetch: async request =>
      ServerConnection.makeRequest(
        request.url,
        {
          method: request.method,
          headers: request.headers,
          body: (await request.text()) || undefined
        },
        settings
      )
  });
  return {
    client,
    url: (...path) => [baseUrl, ...path.map(encodeURIComponent)].join('/'),
    async answer<T>(request: Promise<IAnswer<T>>): Promise<T> {
      let found: IAnswer<T>;
      try {
        found = await request;
      } catch {
        throw new PerijoveError({
          title: trans.__('Your server does not answer'),
          status: 0,
          detail: trans.__('JupyterLab cannot reach its own server.'),
          fix: trans.__('Check your connection, or restart the server from the Hub.')
        });
      }
      if (!found.response.ok) {
        throw new PerijoveError(problemOf(found, trans));
      }
      return found.data as T;
    }
  };
}

/**
 * Tell what went wrong to a person.
 *
 * @param error - Anything thrown.
 */
export function asProblem(error: unknown): IProblem {
  if (error instanceof PerijoveError) {
    return error.problem;
  }
  return { title: error instanceof Error ? error.message : String(error), status: 0 };
}

function problemOf(found: IAnswer<unknown>, trans: TranslationBundle): IProblem {
  const { error, response } = found;
  if (typeof error === 'object' && error !== null && 'title' in error) {
    return error as IProblem;
  }
  if (response.status === 404) {
    return {
      title: trans.__('Perijove is not installed in your server'),
      status: 404,
      detail: trans.__('Your Jupyter server knows nothing of Perijove.'),
      fix: trans.__('Run "jupyter server extension enable perijove" and restart the server.')
    };
  }
  return {
    title: trans.__('HTTP %1 %2', response.status, response.statusText),
    status: response.status,
    detail: trans.__('Your server refused the request.'),
    fix: trans.__('Reload this page to log in again.')
  };
}
