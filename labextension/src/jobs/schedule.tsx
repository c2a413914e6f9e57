import type { ReactElement } from 'react';

import type { IProblem } from '../api/requests';
import type { Job } from '../api/types';
import { usePerijove } from '../ui/context';
import { Fold } from '../ui/fold';
import { Field, isAt } from '../ui/form';
import { SelectField, SpanField, TextField } from '../ui/inputs';
import { usePolled } from '../ui/polled';
import { useSettled } from '../ui/settled';
import { Preview, usePreview } from './preview';
import { listAllJobs, suggestDatasets } from './requests';
import type { IScheduleDraft, ScheduleKind } from './scheduleDraft';

/** Fields of a schedule that can show a problem; those of its parameters are elsewhere. */
export const SCHEDULE_NAMES = [
  'schedule.cron',
  'schedule.timezone',
  'schedule.every_s',
  'schedule.after',
  'schedule.rule',
  'schedule.dataset',
  'schedule.version',
  'schedule.catch_up',
  'schedule.catch_up_window_s',
  'schedule.overlap'
];

/** Fields whose problems the preview finds too. */
const TIMES = ['schedule.cron', 'schedule.timezone', 'schedule.every_s', 'schedule.dataset'];

/** What an expression is until somebody writes another one. */
const EXAMPLE = '30 5 * * *';

interface IScheduleProps {
  value: IScheduleDraft;
  onChange: (schedule: IScheduleDraft) => void;
  problem?: IProblem;
}

/** When a job runs by itself, with its next slots. */
export function ScheduleFields({
  value,
  onChange,
  problem,
  job,
  byHand
}: IScheduleProps & {
  /** The job it is of; none when it is only being made. */
  job?: Job;
  /** The words for a job without a schedule of its own. */
  byHand?: string;
}): ReactElement {
  const previewed = usePreview(value);
  const set = (change: Partial<IScheduleDraft>): void => onChange({ ...value, ...change });
  // Of times the preview knows more than the last try: they may have been mended since.
  const isOfTimes = TIMES.some(name => isAt(problem, name));
  const wrong = (isOfTimes && !previewed.stale ? undefined : problem) ?? previewed.problem;
  const fields = { value, set, problem: wrong };
  return (
    <>
      <KindField {...fields} byHand={byHand} />
      {value.kind === 'cron' && <CronFields {...fields} />}
      {value.kind === 'every' && <EveryField {...fields} />}
      {value.kind === 'after' && <AfterFields {...fields} job={job} />}
      {value.kind === 'dataset' && <DatasetField {...fields} />}
      {value.kind !== 'hand' && (
        <>
          <Preview draft={value} previewed={previewed} />
          <RuleFields {...fields} job={job} />
        </>
      )}
    </>
  );
}

interface IFields {
  value: IScheduleDraft;
  set: (change: Partial<IScheduleDraft>) => void;
  problem?: IProblem;
}

function KindField({ value, set, problem, byHand }: IFields & { byHand?: string }): ReactElement {
  const { trans } = usePerijove();
  const usual: [string, string][] = [
    ['0 * * * *', trans.__('Every hour')],
    ['0 6 * * *', trans.__('Every day at 06:00')],
    ['0 6 * * 1-5', trans.__('Monday to Friday at 06:00')],
    ['0 6 * * 1', trans.__('Every Monday at 06:00')],
    ['0 6 1 * *', trans.__('On the first of every month at 06:00')]
  ];
  const isUsual = usual.some(([cron]) => cron === value.cron);
  const chosen = value.kind !== 'cron' ? value.kind : isUsual ? value.cron : 'other';
  const choose = (choice: string): void => {
    if (choice === 'other') {
      set({ kind: 'cron', cron: isUsual || !value.cron ? EXAMPLE : value.cron });
    } else if (usual.some(([cron]) => cron === choice)) {
      set({ kind: 'cron', cron: choice });
    } else {
      set({ kind: choice as ScheduleKind });
    }
  };
  return (
    <Field name="schedule.kind" label={trans.__('Schedule')} problem={problem}>
      {attributes => (
        <select
          {...attributes}
          className="pj-Input"
          value={chosen}
          onChange={({ target }) => choose(target.value)}
        >
          <option value="hand">{byHand ?? trans.__('Only when somebody runs it')}</option>
          <optgroup label={trans.__('At set times')}>
            {usual.map(([cron, label]) => (
              <option key={cron} value={cron}>
                {label}
              </option>
            ))}
            <option value="other">{trans.__('Other times…')}</option>
          </optgroup>
          <optgroup label={trans.__('Otherwise')}>
            <option value="every">{trans.__('Again and again, with a fixed time between')}</option>
            <option value="after">{trans.__('After other jobs')}</option>
            <option value="dataset">{trans.__('When data changes')}</option>
          </optgroup>
        </select>
      )}
    </Field>
  );
}

function CronFields({ value, set, problem }: IFields): ReactElement {
  const { trans } = usePerijove();
  return (
    <div className="pj-Field-row">
      <TextField
        name="schedule.cron"
        label={trans.__('Cron expression')}
        help={trans.__('minute hour day month weekday')}
        problem={problem}
        code
        value={value.cron}
        onChange={cron => set({ cron })}
      />
      <TextField
        name="schedule.timezone"
        label={trans.__('Time zone')}
        help={trans.__('such as Europe/Berlin')}
        problem={problem}
        list="pj-timezones"
        value={value.timezone}
        onChange={timezone => set({ timezone })}
      />
      <datalist id="pj-timezones">
        {['UTC', ...Intl.supportedValuesOf('timeZone')].map(zone => (
          <option key={zone} value={zone} />
        ))}
      </datalist>
    </div>
  );
}

function EveryField({ value, set, problem }: IFields): ReactElement {
  const { trans } = usePerijove();
  return (
    <SpanField
      name="schedule.every_s"
      label={trans.__('Every')}
      help={trans.__('Counted from when the schedule is set; at least 10 seconds.')}
      problem={problem}
      value={value.every}
      onChange={every => set({ every })}
    />
  );
}

function AfterFields({ value, set, problem, job }: IFields & { job?: Job }): ReactElement {
  const { api, trans } = usePerijove();
  const jobs = usePolled('jobs to run after', () => listAllJobs(api), { isLast: () => true });
  const others = jobs.data?.filter(({ id }) => id !== job?.id) ?? [];
  const several = value.after.length > 1;
  return (
    <>
      <Field
        name="schedule.after"
        label={trans.__('Jobs it waits for')}
        help={
          several
            ? trans.__('It runs once each of them has ended a run since it last ran.')
            : trans.__('What it leaves in outputs/ is there under inputs/ and its name.')
        }
        problem={problem ?? (jobs.problem && { ...jobs.problem, field: 'schedule.after' })}
      >
        {attributes => (
          <div
            {...attributes}
            className="pj-Choices"
            role="group"
            aria-label={trans.__('Jobs it waits for')}
            tabIndex={-1}
          >
            {jobs.data && others.length === 0 && (
              <p className="pj-Facts">{trans.__('There is no other job yet.')}</p>
            )}
            {others.map(other => (
              <label key={other.id} className="pj-Check">
                <input
                  type="checkbox"
                  checked={value.after.includes(other.id)}
                  onChange={({ target }) =>
                    set({
                      after: target.checked
                        ? [...value.after, other.id]
                        : value.after.filter(id => id !== other.id)
                    })
                  }
                />
                <span className="pj-Choices-name">{other.name}</span>
                <span className="pj-Choices-more">{other.owner}</span>
              </label>
            ))}
          </div>
        )}
      </Field>
      <SelectField
        name="schedule.rule"
        label={trans.__('It runs')}
        problem={problem}
        value={value.rule}
        onChange={rule => set({ rule })}
        choices={[
          ['all_success', several ? trans.__('when all succeeded') : trans.__('when it succeeded')],
          ['any_failure', several ? trans.__('when any failed') : trans.__('when it failed')],
          ['all_done', several ? trans.__('however they ended') : trans.__('however it ended')]
        ]}
      />
    </>
  );
}

function DatasetField({ value, set, problem }: IFields): ReactElement {
  const { api, trans } = usePerijove();
  const words = useSettled(value.dataset);
  const { data } = usePolled(`datasets like ${words}`, () => suggestDatasets(api, words), {
    isLast: () => true
  });
  return (
    <>
      <TextField
        name="schedule.dataset"
        label={trans.__('Dataset')}
        help={trans.__(
          'Its full name, as the Data tab has it: it runs when a crawl finds it changed.'
        )}
        problem={problem}
        code
        list="pj-datasets"
        value={value.dataset}
        onChange={dataset => set({ dataset })}
      />
      <datalist id="pj-datasets">
        {data?.map(name => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </>
  );
}

/** The version it runs, and what becomes of slots that come in the way of others. */
function RuleFields({ value, set, problem, job }: IFields & { job?: Job }): ReactElement {
  const { trans } = usePerijove();
  const isTimed = value.kind === 'cron' || value.kind === 'every';
  const versions: [string, string][] = [
    ['latest', trans.__('The latest version')],
    ['approved', trans.__('The newest approved version')]
  ];
  for (let version = job?.latest.version ?? 0; version > 0 && versions.length < 50; version--) {
    versions.push([String(version), trans.__('Version %1, no other', version)]);
  }
  if (!versions.some(([version]) => version === value.version)) {
    versions.push([value.version, trans.__('Version %1, no other', value.version)]);
  }
  const at = isAt(problem, 'version') ? { ...problem, field: 'schedule.version' } : problem;
  return (
    <Fold
      title={trans.__('Version, missed and overlapping runs')}
      names={[
        'version',
        'schedule.version',
        'schedule.catch_up',
        'schedule.catch_up_window_s',
        'schedule.overlap'
      ]}
      problem={problem}
    >
      <SelectField
        name="schedule.version"
        label={trans.__('Which version runs')}
        problem={at}
        value={value.version}
        onChange={version => set({ version })}
        choices={versions}
      />
      {isTimed && (
        <div className="pj-Field-row">
          <SelectField
            name="schedule.catch_up"
            label={trans.__('Missed while Perijove was down')}
            problem={problem}
            value={value.catchUp}
            onChange={catchUp => set({ catchUp })}
            choices={[
              ['latest', trans.__('Run the last one missed')],
              ['all', trans.__('Run every one missed')],
              ['skip', trans.__('Leave them out')]
            ]}
          />
          <SpanField
            name="schedule.catch_up_window_s"
            label={trans.__('But none older than')}
            problem={problem}
            placeholder={trans.__('any age')}
            value={value.window}
            onChange={window => set({ window })}
          />
        </div>
      )}
      <SelectField
        name="schedule.overlap"
        label={trans.__('When the run before is not over')}
        problem={problem}
        value={value.overlap}
        onChange={overlap => set({ overlap })}
        choices={[
          ['queue', trans.__('Wait for it; at most one waits')],
          ['skip', trans.__('Leave this one out')],
          ['allow', trans.__('Run beside it')],
          ['cancel', trans.__('Cancel it and run this one')]
        ]}
      />
    </Fold>
  );
}
