import type { ReactElement } from 'react';

import type { IProblem } from '../api/requests';
import type { Backfill, Job } from '../api/types';
import type { IPerijove } from '../tokens';
import { usePerijove } from '../ui/context';
import { Fold } from '../ui/fold';
import { Field, showForm, type IFieldsProps } from '../ui/form';
import { SelectField, TextField } from '../ui/inputs';
import { bindable, bodyOf, draftOf, fixed, type IBackfillDraft, type Step } from './backfillDraft';
import { Plan, PLANNED, usePlan } from './backfillPlan';
import { createBackfill } from './backfills';
import { ParameterFields } from './parameters';

/** Ask for a range, show what running it would do, start it, and open its page. */
export async function backfillJob(perijove: IPerijove, job: Job): Promise<void> {
  const { actions, api, trans } = perijove;
  const started = await showForm<IBackfillDraft, Backfill>(perijove, {
    title: trans.__('Backfill %1', job.name),
    accept: trans.__('Start'),
    initial: draftOf(job),
    names: PLANNED,
    wide: true,
    submit: (draft, key) => createBackfill(api, job.id, bodyOf(job, draft, false, trans), key),
    Fields: props => <BackfillFields job={job} {...props} />
  });
  if (started?.id) {
    actions.open({
      kind: 'backfill',
      id: started.id,
      title: `${job.name} · ${trans.__('backfill')}`
    });
  }
}

interface IProps extends IFieldsProps<IBackfillDraft> {
  job: Job;
}

function BackfillFields({ job, value, onChange, problem }: IProps): ReactElement {
  const { trans } = usePerijove();
  const planned = usePlan(job, value);
  // What the dry run finds is newer than the last try.
  const fields = { job, value, onChange, problem: planned.problem ?? problem };
  return (
    <>
      <SelectField
        name="kind"
        label={trans.__('Run it once for')}
        value={value.kind}
        onChange={kind => onChange({ kind })}
        choices={[
          ['slots', trans.__('each slot of a range of time')],
          ['range', trans.__('each value of a parameter')]
        ]}
      />
      {value.kind === 'slots' ? <SlotFields {...fields} /> : <RangeFields {...fields} />}
      <Plan {...planned} />
      <RuleFields {...fields} />
      {fixed(job, value).length > 0 && (
        <Fold
          title={trans.__('The same for every run')}
          note={fixed(job, value)
            .map(({ name }) => name)
            .join(', ')}
          names={['parameters']}
          problem={fields.problem}
        >
          <ParameterFields
            field="parameters"
            parameters={fixed(job, value)}
            value={value.raw}
            problem={fields.problem}
            onChange={raw => onChange({ raw })}
          />
        </Fold>
      )}
    </>
  );
}

function SlotFields({ job, value, onChange, problem }: IProps): ReactElement {
  const { trans } = usePerijove();
  const own = job.schedule?.cron || job.schedule?.every_s;
  const steps: [Step, string][] = [
    ['day', trans.__('every day')],
    ['hour', trans.__('every hour')],
    ['seconds', trans.__('every so many seconds')],
    ['cron', trans.__('by a cron expression')]
  ];
  return (
    <>
      <div className="pj-Field-row">
        <DayField
          name="slots.start"
          label={trans.__('From')}
          help={trans.__('included')}
          problem={problem}
          value={value.start}
          onChange={start => onChange({ start })}
        />
        <DayField
          name="slots.end"
          label={trans.__('Until')}
          help={trans.__('not included')}
          problem={problem}
          value={value.end}
          onChange={end => onChange({ end })}
        />
      </div>
      <div className="pj-Field-row">
        <SelectField
          name="slots.every"
          label={trans.__('Slots')}
          problem={value.step === 'seconds' ? undefined : problem}
          value={value.step}
          onChange={step => onChange({ step })}
          choices={own ? [['own', trans.__("the job's own schedule")], ...steps] : steps}
        />
        {value.step === 'seconds' && (
          <TextField
            name="slots.every"
            label={trans.__('Seconds')}
            numeric
            problem={problem}
            value={value.seconds}
            onChange={seconds => onChange({ seconds })}
          />
        )}
        {value.step === 'cron' && (
          <TextField
            name="slots.cron"
            label={trans.__('Cron expression')}
            help={trans.__('minute hour day month weekday')}
            code
            problem={problem}
            value={value.cron}
            onChange={cron => onChange({ cron })}
          />
        )}
        <TextField
          name="slots.timezone"
          label={trans.__('Time zone')}
          problem={problem}
          value={value.timezone}
          onChange={timezone => onChange({ timezone })}
        />
      </div>
      {bindable(job).map(({ name, type }) => (
        <TextField
          key={name}
          name={`bind.${name}`}
          label={trans.__('Slot in %1', name)}
          help={trans.__(
            '%1 · “date”, “datetime”, or a format such as %Y-%m-%d; empty to leave it alone',
            type
          )}
          code
          problem={problem}
          value={value.bind[name] ?? ''}
          onChange={form => onChange({ bind: { ...value.bind, [name]: form.trim() } })}
        />
      ))}
    </>
  );
}

function RangeFields({ job, value, onChange, problem }: IProps): ReactElement {
  const { trans } = usePerijove();
  const parameters = job.latest.parameters.filter(({ type }) => type !== 'secret');
  const chosen = parameters.find(({ name }) => name === value.parameter);
  const counted = chosen && ['any', 'date', 'float', 'int'].includes(chosen.type);
  return (
    <>
      <div className="pj-Field-row">
        <SelectField
          name="range.parameter"
          label={trans.__('Parameter')}
          problem={problem}
          value={value.parameter}
          onChange={parameter => onChange({ parameter, how: 'values' })}
          choices={parameters.map(({ name, type }) => [name, `${name} (${type})`])}
        />
        {counted && (
          <SelectField
            name="how"
            label={trans.__('Values')}
            value={value.how}
            onChange={how => onChange({ how })}
            choices={[
              ['values', trans.__('one by one')],
              ['steps', trans.__('from, until, step')]
            ]}
          />
        )}
      </div>
      {value.how === 'values' ? (
        <TextField
          name="range.values"
          label={trans.__('Values of %1', value.parameter)}
          help={trans.__('with commas between')}
          code
          problem={problem}
          value={value.values}
          onChange={values => onChange({ values })}
        />
      ) : (
        <div className="pj-Field-row">
          <TextField
            name="range.start"
            label={trans.__('From')}
            help={trans.__('included')}
            problem={problem}
            value={value.first}
            onChange={first => onChange({ first })}
          />
          <TextField
            name="range.stop"
            label={trans.__('Until')}
            help={trans.__('not included')}
            problem={problem}
            value={value.stop}
            onChange={stop => onChange({ stop })}
          />
          <TextField
            name="range.step"
            label={chosen?.type === 'date' ? trans.__('Step in days') : trans.__('Step')}
            problem={problem}
            value={value.by}
            onChange={by => onChange({ by })}
          />
        </div>
      )}
    </>
  );
}

function RuleFields({ value, onChange, problem }: IProps): ReactElement {
  const { trans } = usePerijove();
  return (
    <>
      <SelectField
        name="reprocess"
        label={trans.__('What ran before')}
        problem={problem}
        value={value.reprocess}
        onChange={reprocess => onChange({ reprocess })}
        choices={[
          ['none', trans.__('is left alone, however it ended')],
          ['failed', trans.__('runs again where it did not succeed')],
          ['all', trans.__('runs again')]
        ]}
      />
      <div className="pj-Field-row">
        <TextField
          name="concurrency"
          label={trans.__('Runs at once')}
          numeric
          problem={problem}
          value={value.concurrency}
          onChange={concurrency => onChange({ concurrency })}
        />
        <TextField
          name="priority"
          label={trans.__('Priority')}
          help={trans.__('scheduled runs have 0, and go first')}
          numeric
          problem={problem}
          value={value.priority}
          onChange={priority => onChange({ priority })}
        />
        <SelectField
          name="reverse"
          label={trans.__('Order')}
          value={value.reverse ? 'reverse' : 'forward'}
          onChange={order => onChange({ reverse: order === 'reverse' })}
          choices={[
            ['forward', trans.__('the first one first')],
            ['reverse', trans.__('the last one first')]
          ]}
        />
      </div>
    </>
  );
}

function DayField({
  value,
  onChange,
  ...field
}: {
  name: string;
  label: string;
  help: string;
  problem?: IProblem;
  value: string;
  onChange: (value: string) => void;
}): ReactElement {
  return (
    <Field {...field}>
      {attributes => (
        <input
          {...attributes}
          className="pj-Input"
          type="date"
          value={value}
          onChange={({ target }) => onChange(target.value)}
        />
      )}
    </Field>
  );
}
