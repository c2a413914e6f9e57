import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { useState, type ReactElement } from 'react';

import { asProblem, PerijoveError, type IProblem } from '../api/requests';
import type { InputFile } from '../api/types';
import { usePerijove } from '../ui/context';
import { Field } from '../ui/form';
import { bytesWords } from '../ui/size';

/** Most bytes of all the files of a version. */
const MOST = 40 * 2 ** 20;

/** A file that a notebook probably reads. */
export interface ICandidate {
  /** Relative to the notebook's folder. */
  path: string;
  /** Unknown for one that somebody wrote down. */
  bytes?: number;
  /** What in the notebook names it. */
  why?: string;
  /** Why it cannot be kept all the same; empty for what can. */
  problem?: string;
}

/** What the user's own server tells of the files beside a notebook. */
export interface IInputs {
  candidates: ICandidate[];
  /** Why it tells nothing. */
  problem?: IProblem;
  /** Read the chosen ones. @throws `PerijoveError` that names the one at fault. */
  read: (paths: string[]) => Promise<InputFile[]>;
}

/** Ask the user's own server, which alone sees the disk, what a notebook reads. */
export async function findInputs(
  settings: ServerConnection.ISettings,
  path: string
): Promise<IInputs> {
  const read = async (chosen: string[]): Promise<InputFile[]> =>
    chosen.length === 0
      ? []
      : (await ask<{ inputs: InputFile[] }>(settings, { path, chosen })).inputs;
  try {
    const { candidates } = await ask<{ candidates: ICandidate[] }>(settings, { path });
    return { candidates, read };
  } catch (error) {
    // A notebook can be promoted without knowing its files.
    return { candidates: [], problem: asProblem(error), read };
  }
}

async function ask<T>(settings: ServerConnection.ISettings, body: object): Promise<T> {
  const url = URLExt.join(settings.baseUrl, 'perijove/inputs');
  const request = { method: 'POST', body: JSON.stringify(body) };
  const response = await ServerConnection.makeRequest(url, request, settings);
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const problem =
      typeof answer === 'object' && answer && 'title' in answer ? (answer as IProblem) : null;
    throw new PerijoveError(
      problem ?? {
        title: `HTTP ${response.status} ${response.statusText}`,
        status: response.status
      }
    );
  }
  return answer as T;
}

/** The files somebody chose to keep with the notebook. */
export interface IInputsDraft {
  /** What there is to choose from: what was found, and what was written down. */
  files: ICandidate[];
  chosen: string[];
}

/** All that was found and can be kept; nothing, if it does not fit together. */
export function inputsDraft({ candidates }: IInputs): IInputsDraft {
  const kept = candidates.filter(({ problem }) => !problem);
  return { files: candidates, chosen: sizeOf(kept) > MOST ? [] : kept.map(({ path }) => path) };
}

/** Bytes of the files that can be kept; of those that somebody wrote down nobody knows. */
function sizeOf(files: ICandidate[]): number {
  return files.reduce((sum, { bytes, problem }) => sum + (problem ? 0 : (bytes ?? 0)), 0);
}

/** Which files a version keeps, so that its runs find them beside the notebook. */
export function InputFields({
  value,
  onChange,
  found,
  problem
}: {
  value: IInputsDraft;
  onChange: (value: IInputsDraft) => void;
  found: IInputs;
  problem?: IProblem;
}): ReactElement {
  const { trans } = usePerijove();
  const [typed, setTyped] = useState('');
  const { files, chosen } = value;
  const total = sizeOf(files.filter(({ path }) => chosen.includes(path)));
  const tooLarge = chosen.length === 0 && sizeOf(files) > MOST;
  const add = (): void => {
    const path = typed.trim().replace(/^\.\//, '');
    if (path) {
      onChange({
        files: files.some(file => file.path === path) ? files : [...files, { path }],
        chosen: chosen.includes(path) ? chosen : [...chosen, path]
      });
      setTyped('');
    }
  };
  const tooMuch: IProblem | undefined =
    total > MOST
      ? {
          title: '',
          status: 0,
          field: 'inputs',
          detail: trans.__(
            '%1 is more than the %2 that a version keeps.',
            bytesWords(total),
            bytesWords(MOST)
          ),
          fix: trans.__('Choose fewer, and read large ones from the catalog or a shared folder.')
        }
      : undefined;
  return (
    <Field
      name="inputs"
      label={trans.__('Files it keeps')}
      help={
        found.problem
          ? trans.__('None were looked for: %1', found.problem.detail ?? found.problem.title)
          : files.length === 0
            ? trans.__('The notebook, as it was last saved, names no file beside it.')
            : tooLarge
              ? trans.__(
                  'None is ticked, because together they are more than the %1 that a version keeps.',
                  bytesWords(MOST)
                )
              : trans.__(
                  '%1 of %2 files, %3: every run finds them as they are now.',
                  chosen.length,
                  files.length,
                  bytesWords(total)
                )
      }
      problem={problem?.field?.startsWith('inputs') ? { ...problem, field: 'inputs' } : tooMuch}
    >
      {attributes => (
        <div
          {...attributes}
          className="pj-Inputs"
          role="group"
          aria-label={trans.__('Files it keeps')}
          tabIndex={-1}
        >
          {files.length > 0 && (
            <div className="pj-Choices">
              {files.map(({ path, bytes, why, problem: unkept }) => (
                <label key={path} className="pj-Check" title={why}>
                  <input
                    type="checkbox"
                    disabled={!!unkept}
                    checked={chosen.includes(path)}
                    onChange={({ target }) =>
                      onChange({
                        files,
                        chosen: target.checked
                          ? [...chosen, path]
                          : chosen.filter(one => one !== path)
                      })
                    }
                  />
                  <span className="pj-Choices-name pj-mod-code">{path}</span>
                  <span className="pj-Choices-more">
                    {unkept ? (
                      <span className="pj-Field-problem">{trans.__('not kept: %1', unkept)}</span>
                    ) : bytes === undefined ? (
                      trans.__('added')
                    ) : (
                      bytesWords(bytes)
                    )}
                  </span>
                </label>
              ))}
            </div>
          )}
          <div className="pj-Inputs-add" data-own-enter>
            <input
              className="pj-Input pj-mod-code"
              aria-label={trans.__('Another file')}
              placeholder={trans.__('another file, such as data/cities.csv')}
              spellCheck={false}
              autoComplete="off"
              value={typed}
              onChange={({ target }) => setTyped(target.value)}
              onKeyDown={event => {
                if (event.key === 'Enter') {
                  event.preventDefault();
                  add();
                }
              }}
            />
            <button type="button" className="pj-Button" disabled={!typed.trim()} onClick={add}>
              {trans.__('Add')}
            </button>
          </div>
        </div>
      )}
    </Field>
  );
}
