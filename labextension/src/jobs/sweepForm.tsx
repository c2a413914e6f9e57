import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { Dimension, Job, Parameter, Sweep } from '../api/types';
import type { IPerijove } from '../tokens';
import { usePerijove } from '../ui/context';
import { Fold } from '../ui/fold';
import { showForm, type IFieldsProps } from '../ui/form';
import { SelectField, TextField } from '../ui/inputs';
import { ParameterFields } from './parameters';
import {
  bodyOf,
  draftOf,
  fixed,
  gridSize,
  kindsOf,
  searchable,
  type IDimensionDraft,
  type ISweepDraft
} from './sweepDraft';
import { createSweep } from './sweeps';

/** Fields that are folded away at first. */
const SELDOM = ['max_failures', 'seed', 'priority', 'experiment'];
const NAMES = [
  'method',
  'space',
  'metric',
  'goal',
  'trials',
  'concurrency',
  'parameters',
  ...SELDOM
];

/** Ask what to search, start it, and open its page. */
export async function sweepJob(perijove: IPerijove, job: Job): Promise<void> {
  const { actions, api, trans } = perijove;
  const started = await showForm<ISweepDraft, Sweep>(perijove, {
    title: trans.__('Search the parameters of %1', job.name),
    accept: trans.__('Start'),
    initial: draftOf(job),
    names: NAMES,
    wide: true,
    submit: (draft, key) => createSweep(api, job.id, bodyOf(job, draft, trans), key),
    Fields: props => <SweepFields job={job} {...props} />
  });
  if (started) {
    actions.open({ kind: 'sweep', id: started.id, title: `${job.name} · ${trans.__('sweep')}` });
  }
}

interface IProps extends IFieldsProps<ISweepDraft> {
  job: Job;
}

function SweepFields(props: IProps): ReactElement {
  const { job, value, onChange, problem } = props;
  const { trans } = usePerijove();
  const parameters = searchable(job);
  if (parameters.length === 0) {
    return (
      <p className="pj-Facts">
        {trans.__('This job has no parameters, so there is nothing to search.')}
      </p>
    );
  }
  return (
    <>
      <div className="pj-Field-row">
        <SelectField
          name="method"
          label={trans.__('Method')}
          problem={problem}
          help={methodWords(value.method, trans)}
          value={value.method}
          onChange={method => onChange({ method, space: fitting(job, value, method) })}
          choices={[
            ['grid', trans.__('grid')],
            ['random', trans.__('random')],
            ['optuna', trans.__('Optuna')]
          ]}
        />
        <TextField
          name="metric"
          label={trans.__('Metric')}
          help={trans.__('as %metric logs it in the notebook')}
          placeholder="loss"
          code
          problem={problem}
          value={value.metric}
          onChange={metric => onChange({ metric })}
        />
        <SelectField
          name="goal"
          label={trans.__('Best is')}
          problem={problem}
          value={value.goal}
          onChange={goal => onChange({ goal })}
          choices={[
            ['min', trans.__('the smallest')],
            ['max', trans.__('the largest')]
          ]}
        />
      </div>
      {parameters.map(parameter => (
        <DimensionFields key={parameter.name} parameter={parameter} {...props} />
      ))}
      <Limits {...props} />
      {fixed(job, value).length > 0 && (
        <Fold
          title={trans.__('The same for every run')}
          note={fixed(job, value)
            .map(({ name }) => name)
            .join(', ')}
          names={['parameters']}
          problem={problem}
        >
          <ParameterFields
            field="parameters"
            parameters={fixed(job, value)}
            value={value.raw}
            problem={problem}
            onChange={raw => onChange({ raw })}
          />
        </Fold>
      )}
    </>
  );
}

/** What of a space another method takes too: a grid has lists of values only. */
function fitting(
  job: Job,
  { space }: ISweepDraft,
  method: ISweepDraft['method']
): ISweepDraft['space'] {
  const fitted = { ...space };
  for (const parameter of searchable(job)) {
    const draft = fitted[parameter.name];
    if (draft && draft.kind !== 'fixed' && !kindsOf(parameter, method).includes(draft.kind)) {
      fitted[parameter.name] = { ...draft, kind: 'choice' };
    }
  }
  return fitted;
}

function DimensionFields({
  parameter,
  value,
  onChange,
  problem
}: IProps & { parameter: Parameter }): ReactElement {
  const { trans } = usePerijove();
  const { name } = parameter;
  const draft = value.space[name] as IDimensionDraft;
  const set = (change: Partial<IDimensionDraft>): void =>
    onChange({ space: { ...value.space, [name]: { ...draft, ...change } } });
  const field = `space.${name}`;
  const ends: ['low' | 'high', string][] = [
    ['low', trans.__('From')],
    ['high', trans.__('To')]
  ];
  return (
    <div className="pj-Field-row">
      <SelectField
        name={`${field}.kind`}
        label={`${name} (${parameter.type})`}
        problem={problem}
        value={draft.kind}
        onChange={kind => set({ kind })}
        choices={[
          ['fixed', trans.__('not searched')],
          ...kindsOf(parameter, value.method).map((kind): [IDimensionDraft['kind'], string] => [
            kind,
            kindWords(kind, trans)
          ])
        ]}
      />
      {draft.kind === 'choice' && (
        <TextField
          name={`${field}.values`}
          label={trans.__('Values of %1', name)}
          help={trans.__('with commas between')}
          code
          problem={problem}
          value={draft.values}
          onChange={values => set({ values })}
        />
      )}
      {draft.kind !== 'choice' &&
        draft.kind !== 'fixed' &&
        ends.map(([end, label]) => (
          <TextField
            key={end}
            name={`${field}.${end}`}
            label={label}
            numeric
            problem={problem}
            value={draft[end]}
            onChange={text => set({ [end]: text })}
          />
        ))}
      {draft.kind === 'int' && (
        <TextField
          name={`${field}.step`}
          label={trans.__('Step')}
          placeholder="1"
          numeric
          problem={problem}
          value={draft.step}
          onChange={step => set({ step })}
        />
      )}
    </div>
  );
}

function Limits({ job, value, onChange, problem }: IProps): ReactElement {
  const { trans } = usePerijove();
  const size = gridSize(job, value, trans);
  return (
    <>
      <div className="pj-Field-row">
        {value.method !== 'grid' && (
          <TextField
            name="trials"
            label={trans.__('Trials')}
            numeric
            problem={problem}
            value={value.trials}
            onChange={trials => onChange({ trials })}
          />
        )}
        <TextField
          name="concurrency"
          label={trans.__('Runs at once')}
          numeric
          problem={problem}
          value={value.concurrency}
          onChange={concurrency => onChange({ concurrency })}
        />
      </div>
      {value.method === 'grid' && (
        <p className="pj-Facts" aria-live="polite">
          {size === null
            ? trans.__('How many runs it takes shows here once the values are clear.')
            : trans._n('%1 run', '%1 runs', size)}
        </p>
      )}
      <Fold
        title={trans.__('More')}
        note={trans.__('stop after failures, seed, priority, experiment')}
        names={SELDOM}
        problem={problem}
      >
        <div className="pj-Field-row">
          <TextField
            name="max_failures"
            label={trans.__('Stop after failures')}
            placeholder={trans.__('never')}
            numeric
            problem={problem}
            value={value.failures}
            onChange={failures => onChange({ failures })}
          />
          {value.method !== 'grid' && (
            <TextField
              name="seed"
              label={trans.__('Seed')}
              numeric
              problem={problem}
              value={value.seed}
              onChange={seed => onChange({ seed })}
            />
          )}
          <TextField
            name="priority"
            label={trans.__('Priority')}
            help={trans.__('scheduled runs have 0, and go first')}
            numeric
            problem={problem}
            value={value.priority}
            onChange={priority => onChange({ priority })}
          />
        </div>
        <TextField
          name="experiment"
          label={trans.__('MLflow experiment')}
          help={trans.__('of the run above its runs')}
          placeholder={trans.__('the one that the notebook names')}
          problem={problem}
          value={value.experiment}
          onChange={experiment => onChange({ experiment })}
        />
      </Fold>
    </>
  );
}

function methodWords(method: ISweepDraft['method'], trans: TranslationBundle): string {
  switch (method) {
    case 'grid':
      return trans.__('every combination');
    case 'random':
      return trans.__('drawn by the seed');
    case 'optuna':
      return trans.__('learns from earlier trials');
  }
}

function kindWords(kind: Dimension['kind'], trans: TranslationBundle): string {
  switch (kind) {
    case 'choice':
      return trans.__('values');
    case 'int':
      return trans.__('whole numbers');
    case 'uniform':
      return trans.__('numbers');
    case 'loguniform':
      return trans.__('numbers (log)');
    default:
      return '';
  }
}
