import type { Job, JobVersion, Parameter, Run } from '../api/types';
import type { IPerijove } from '../tokens';
import { showForm } from '../ui/form';
import { ParameterFields } from './parameters';
import { createRun } from './requests';
import { initialRaw, parseValues } from './values';

/**
 * Ask for a job's parameters, run it, and open the run.
 *
 * @param values - What to start from instead of the defaults, such as an earlier run's.
 * @param version - The version to run; without it, the latest.
 */
export async function runJob(
  perijove: IPerijove,
  job: Job,
  values?: Record<string, unknown>,
  version?: JobVersion
): Promise<void> {
  const { actions, api, trans } = perijove;
  const parameters: Parameter[] = (version ?? job.latest).parameters;
  const run = await showForm<{ raw: ReturnType<typeof initialRaw> }, Run>(perijove, {
    title: version
      ? trans.__('Run version %2 of %1', job.name, version.version)
      : trans.__('Run %1', job.name),
    accept: trans.__('Run'),
    initial: { raw: initialRaw(parameters, values) },
    names: parameters.map(({ name }) => `parameters.${name}`),
    submit: ({ raw }, key) =>
      createRun(
        api,
        job.id,
        parseValues(parameters, raw, 'parameters', trans),
        key,
        version?.version
      ),
    Fields: ({ value, onChange, problem }) =>
      parameters.length > 0 ? (
        <ParameterFields
          field="parameters"
          parameters={parameters}
          value={value.raw}
          problem={problem}
          onChange={raw => onChange({ raw })}
        />
      ) : (
        <p className="pj-Facts">
          {trans.__('This job has no parameters: its notebook runs as it was promoted.')}
        </p>
      )
  });
  if (run) {
    actions.open({ kind: 'run', id: run.id, title: `${run.job} · ${trans.__('run')}` });
  }
}
