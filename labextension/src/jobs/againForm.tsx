import { UUID } from '@lumino/coreutils';
import type { ReactElement } from 'react';

import type { Job, Parameter, Run } from '../api/types';
import type { IPerijove } from '../tokens';
import { usePerijove } from '../ui/context';
import { showForm, type IFieldsProps } from '../ui/form';
import { ParameterFields } from './parameters';
import { getJob } from './requests';
import { initialRaw, parseValues, type Raw } from './values';
import { getVersion, runAgain } from './watching';

/** What the form asks: values for the run's own version, or for the latest one. */
interface IAgain {
  own: Record<string, Raw>;
  newest: Record<string, Raw>;
  latest: boolean;
}

/** Run a run again just as it was, and open the new one. */
export async function repeatRun(perijove: IPerijove, run: Run): Promise<void> {
  const body = { parameters: null, latest: false };
  openRun(perijove, await runAgain(perijove.api, run.id, body, UUID.uuid4()));
}

/** Ask what should be different, run a run again, and open the new one. */
export async function repeatWithOthers(perijove: IPerijove, run: Run): Promise<void> {
  const { api, trans } = perijove;
  const [job, version] = await Promise.all([getJob(api, run.job_id), getVersion(api, run)]);
  const own = version?.parameters ?? job.latest.parameters;
  const newest = job.latest.parameters;
  const before = run.parameters;
  const initial: IAgain = {
    own: initialRaw(own, before),
    newest: initialRaw(newest, before),
    latest: false
  };
  const made = await showForm<IAgain, Run>(perijove, {
    title: trans.__('Run %1 again', run.job),
    accept: trans.__('Run'),
    initial,
    names: [...new Set([...own, ...newest].map(({ name }) => `parameters.${name}`))],
    submit: (value, key) => {
      const parameters = value.latest
        ? changed(newest, value.newest, initial.newest, trans)
        : changed(own, value.own, initial.own, trans);
      return runAgain(api, run.id, { parameters, latest: value.latest }, key);
    },
    Fields: props => <AgainFields {...props} {...{ run, job, own, newest }} />
  });
  if (made) {
    openRun(perijove, made);
  }
}

function AgainFields({
  value,
  onChange,
  problem,
  run,
  job,
  own,
  newest
}: IFieldsProps<IAgain> & {
  run: Run;
  job: Job;
  own: Parameter[];
  newest: Parameter[];
}): ReactElement {
  const { trans } = usePerijove();
  const parameters = value.latest ? newest : own;
  return (
    <>
      {run.version !== job.latest.version && (
        <label className="pj-Check">
          <input
            type="checkbox"
            checked={value.latest}
            onChange={({ target }) => onChange({ latest: target.checked })}
          />
          {trans.__(
            'With the latest version, %1, not with version %2',
            job.latest.version,
            run.version
          )}
        </label>
      )}
      {parameters.length > 0 ? (
        <ParameterFields
          field="parameters"
          parameters={parameters}
          value={value.latest ? value.newest : value.own}
          problem={problem}
          onChange={raw => onChange(value.latest ? { newest: raw } : { own: raw })}
        />
      ) : (
        <p className="pj-Facts">{trans.__('It has no parameters.')}</p>
      )}
    </>
  );
}

/** The values that are not what the earlier run had, a default among them. */
function changed(
  parameters: Parameter[],
  raw: Record<string, Raw>,
  before: Record<string, Raw>,
  trans: IPerijove['trans']
): Record<string, unknown> {
  const others = parameters.filter(({ name }) => raw[name] !== before[name]);
  // As if each were required, because a default that is left out would be the earlier value.
  const asked = others.map(parameter => ({ ...parameter, required: true }));
  return parseValues(asked, raw, 'parameters', trans);
}

function openRun({ actions, trans }: IPerijove, run: Run): void {
  actions.open({ kind: 'run', id: run.id, title: `${run.job} · ${trans.__('run')}` });
}
