import type { TranslationBundle } from '@jupyterlab/translation';

import type { Run } from '../api/types';
import type { IPerijove } from '../tokens';
import { Field, showForm } from '../ui/form';
import { listRuns } from './requests';

/** Runs that are offered to compare with. */
const OFFERED = 100;

/** Open the page that shows what differs between two runs of a job. */
export function openComparison({ actions, trans }: IPerijove, one: Run, other: Run): void {
  actions.open({
    kind: 'comparison',
    id: `${one.id}:${other.id}`,
    title: trans.__('%1 · comparison', one.job)
  });
}

/** Ask with which run of the same job to compare one, and open the comparison. */
export async function chooseComparison(perijove: IPerijove, run: Run): Promise<void> {
  const { api, trans } = perijove;
  const { items } = await listRuns(api, run.job_id, OFFERED);
  const others = items.filter(({ id }) => id !== run.id);
  const other = await showForm<{ id: string }, Run>(perijove, {
    title: trans.__('Compare with another run of %1', run.job),
    accept: trans.__('Compare'),
    initial: { id: others[0]?.id ?? '' },
    names: [],
    submit: ({ id }) => {
      const chosen = others.find(one => one.id === id);
      return chosen
        ? Promise.resolve(chosen)
        : Promise.reject(new Error(trans.__('There is no other run to compare with.')));
    },
    Fields: ({ value, onChange }) =>
      others.length > 0 ? (
        <Field name="other" label={trans.__('Run')}>
          {attributes => (
            <select
              {...attributes}
              className="pj-Input"
              value={value.id}
              onChange={({ target }) => onChange({ id: target.value })}
            >
              {others.map(one => (
                <option key={one.id} value={one.id}>
                  {runWords(one, trans)}
                </option>
              ))}
            </select>
          )}
        </Field>
      ) : (
        <p className="pj-Facts">{trans.__('This is the job’s only run.')}</p>
      )
  });
  if (other) {
    compareInOrder(perijove, run, other);
  }
}

/** Open the comparison with the earlier one first, so that the other shows what has changed. */
export function compareInOrder(perijove: IPerijove, one: Run, other: Run): void {
  const [first, second] = other.queued_at < one.queued_at ? [other, one] : [one, other];
  openComparison(perijove, first, second);
}

/** A run in a line, for a choice. */
function runWords(run: Run, trans: TranslationBundle): string {
  const values = Object.entries(run.parameters)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(', ');
  const at = new Date(run.queued_at).toLocaleString();
  return [at, run.state, trans.__('version %1', run.version), values].filter(Boolean).join(' · ');
}
