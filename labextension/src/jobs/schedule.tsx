import type { ReactElement } from 'react';

import type { IProblem } from '../api/requests';
import type { Schedule, ScheduleState } from '../api/types';
import { usePerijove } from '../ui/context';
import { Field } from '../ui/form';

/** A schedule as the form holds it; an empty expression is no schedule. */
export interface IScheduleDraft {
  cron: string;
  timezone: string;
}

/** What the form does not ask for. */
export const USUAL = {
  after: [],
  rule: 'all_success',
  version: 'latest',
  catch_up: 'latest',
  overlap: 'queue'
} satisfies Partial<Schedule>;

/** A job's schedule as one would ask for it again. */
export function asked(schedule: ScheduleState): Schedule {
  const wanted: Partial<ScheduleState> = { ...schedule };
  delete wanted.next_slot;
  delete wanted.last_slot;
  return wanted as Schedule;
}

/** No schedule, in the browser's time zone. */
export function noSchedule(): IScheduleDraft {
  return { cron: '', timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC' };
}

/** When a job runs by itself: usual times to choose from, or any cron expression. */
export function ScheduleFields({
  value,
  onChange,
  problem
}: {
  value: IScheduleDraft;
  onChange: (schedule: IScheduleDraft) => void;
  problem?: IProblem;
}): ReactElement {
  const { trans } = usePerijove();
  const usual: [string, string][] = [
    ['', trans.__('Only when somebody runs it')],
    ['0 * * * *', trans.__('Every hour')],
    ['0 6 * * *', trans.__('Every day at 06:00')],
    ['0 6 * * 1-5', trans.__('Monday to Friday at 06:00')],
    ['0 6 * * 1', trans.__('Every Monday at 06:00')],
    ['0 6 1 * *', trans.__('On the first of every month at 06:00')]
  ];
  const isUsual = usual.some(([cron]) => cron === value.cron);
  return (
    <>
      <Field name="schedule.when" label={trans.__('Schedule')} problem={problem}>
        {attributes => (
          <select
            {...attributes}
            className="pj-Input"
            value={isUsual ? value.cron : 'other'}
            onChange={({ target }) =>
              onChange({ ...value, cron: target.value === 'other' ? '30 5 * * *' : target.value })
            }
          >
            {usual.map(([cron, label]) => (
              <option key={cron} value={cron}>
                {label}
              </option>
            ))}
            <option value="other">{trans.__('Other times…')}</option>
          </select>
        )}
      </Field>
      {value.cron && (
        <div className="pj-Field-row">
          <Field
            name="schedule.cron"
            label={trans.__('Cron expression')}
            help={trans.__('minute hour day month weekday')}
            problem={problem}
          >
            {attributes => (
              <input
                {...attributes}
                className="pj-Input pj-mod-code"
                spellCheck={false}
                value={value.cron}
                onChange={({ target }) => onChange({ ...value, cron: target.value })}
              />
            )}
          </Field>
          <Field
            name="schedule.timezone"
            label={trans.__('Time zone')}
            help={trans.__('such as Europe/Berlin')}
            problem={problem}
          >
            {attributes => (
              <input
                {...attributes}
                className="pj-Input"
                list="pj-timezones"
                spellCheck={false}
                value={value.timezone}
                onChange={({ target }) => onChange({ ...value, timezone: target.value })}
              />
            )}
          </Field>
          <datalist id="pj-timezones">
            {Intl.supportedValuesOf('timeZone').map(zone => (
              <option key={zone} value={zone} />
            ))}
          </datalist>
        </div>
      )}
    </>
  );
}
