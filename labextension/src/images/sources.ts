import type { JupyterFrontEnd } from '@jupyterlab/application';
import { PathExt, URLExt } from '@jupyterlab/coreutils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { ServerConnection, type Contents, type Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import { PerijoveError, type IProblem } from '../api/requests';
import type { ImageSpec } from '../api/types';

/** What a form can be filled in with. */
export interface IFilling {
  spec: ImageSpec;
  /** What is installed and no build could install, each with the reason. */
  leftOut: string[];
}

/** Where a specification can be taken from. */
export interface ISpecSource {
  label: string;
  /** @throws `PerijoveError` that says what is wrong with it. */
  read: () => Promise<IFilling>;
}

/** Most files that are offered. */
const MOST = 50;

/** What a kernel is asked: text without quotes or escapes, so that any kernel's answer is read. */
const QUESTION = "__import__('perijove.magics.images', fromlist=['packed']).packed()";

/**
 * Find what an image's form can be filled in from: what the open notebook runs in, and the
 * specifications that lie beside it, as `%freeze` writes them.
 */
export async function specSources(
  { serviceManager }: JupyterFrontEnd,
  notebooks: INotebookTracker | null,
  trans: TranslationBundle
): Promise<ISpecSource[]> {
  const { contents, serverSettings } = serviceManager;
  const panel = notebooks?.currentWidget;
  const path = panel?.context.path;
  const kernel = panel?.sessionContext.session?.kernel;
  const running: ISpecSource[] =
    path && kernel
      ? [
          {
            label: trans.__('What %1 runs in', PathExt.basename(path)),
            read: () => askKernel(kernel, trans)
          }
        ]
      : [];
  // A folder that cannot be listed is no reason to show no form.
  const folder = await contents.get(path ? PathExt.dirname(path) : '').catch(() => undefined);
  const files = ((folder?.content ?? []) as Contents.IModel[])
    .filter(({ name }) => PathExt.extname(name) === '.toml')
    .sort((a, b) => b.last_modified.localeCompare(a.last_modified))
    .slice(0, MOST)
    .map(file => ({
      label: file.name,
      read: async () => {
        const read = await contents.get(file.path, {
          type: 'file',
          format: 'text',
          content: true
        });
        const spec = await parseSpec(serverSettings, file.name, String(read.content));
        return { spec, leftOut: [] };
      }
    }));
  return [...running, ...files];
}

/** Have the user's own server read TOML. */
async function parseSpec(
  settings: ServerConnection.ISettings,
  name: string,
  text: string
): Promise<ImageSpec> {
  const url =
    URLExt.join(settings.baseUrl, 'perijove/image-spec') + URLExt.objectToQueryString({ name });
  const response = await ServerConnection.makeRequest(
    url,
    { method: 'POST', body: text },
    settings
  );
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    throw new PerijoveError(
      (body as IProblem | null) ?? { title: response.statusText, status: response.status }
    );
  }
  return body as ImageSpec;
}

/** Ask a kernel what is installed beyond its image; nothing of it is seen in the notebook. */
async function askKernel(
  kernel: Kernel.IKernelConnection,
  trans: TranslationBundle
): Promise<IFilling> {
  if (kernel.status !== 'idle') {
    throw new PerijoveError({
      title: trans.__('The kernel is busy'),
      status: 0,
      detail: trans.__('The kernel is %1, so it cannot say what is installed.', kernel.status),
      fix: trans.__('Wait for its cell to end, then choose this again.')
    });
  }
  const { content } = await kernel.requestExecute({
    code: '',
    silent: true,
    store_history: false,
    user_expressions: { packed: QUESTION }
  }).done;
  const expressions = content.status === 'ok' ? content.user_expressions : undefined;
  const answer = expressions?.packed as
    | { status: 'ok'; data: { 'text/plain': string } }
    | { status: 'error'; evalue: string }
    | undefined;
  if (answer?.status !== 'ok') {
    throw new PerijoveError({
      title: trans.__('Not captured'),
      status: 0,
      detail: answer?.evalue ?? trans.__('The kernel does not say what is installed.')
    });
  }
  const bytes = Uint8Array.from(atob(answer.data['text/plain'].slice(1, -1)), one =>
    one.charCodeAt(0)
  );
  const { spec, left_out: leftOut } = JSON.parse(new TextDecoder().decode(bytes)) as {
    spec: ImageSpec;
    left_out: string[];
  };
  return { spec, leftOut };
}
