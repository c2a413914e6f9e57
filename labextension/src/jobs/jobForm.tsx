import type { Job, Principal } from '../api/types';
import type { IPerijove } from '../tokens';
import { Fold } from '../ui/fold';
import { showForm } from '../ui/form';
import { SharingField, type ISharing } from '../ui/sharing';
import {
  LIMIT_NAMES,
  LimitFields,
  limitsDraft,
  policyOf,
  resourcesOf,
  type ILimitsDraft
} from './limits';
import { ParameterFields } from './parameters';
import { updateJob, whoami } from './requests';
import { SCHEDULE_NAMES, ScheduleFields } from './schedule';
import { draftOf, scheduleOf, type IScheduleDraft } from './scheduleDraft';
import { initialRaw, parseValues, type Raw } from './values';

interface IDraft {
  schedule: IScheduleDraft;
  raw: Record<string, Raw>;
  limits: ILimitsDraft;
  sharing: ISharing;
}

/** Where a schedule's values are in the request. */
const VALUES = 'schedule.parameters';

/**
 * Change when a job runs, what its runs may use, and who may see it.
 *
 * @returns The job as it is then, or null when the person changed their mind.
 * @throws `PerijoveError` when nobody can be asked.
 */
export async function editJob(perijove: IPerijove, job: Job): Promise<Job | null> {
  const { api, trans } = perijove;
  const caller: Principal = await whoami(api);
  const { parameters } = job.latest;
  return showForm<IDraft, Job>(perijove, {
    title: trans.__('Schedule and limits of %1', job.name),
    accept: trans.__('Save'),
    wide: true,
    names: [
      'version',
      'visibility',
      'owner_group',
      'group',
      ...SCHEDULE_NAMES,
      ...LIMIT_NAMES,
      ...parameters.map(parameter => `${VALUES}.${parameter.name}`)
    ],
    initial: {
      schedule: draftOf(job.schedule),
      raw: initialRaw(parameters, job.schedule?.parameters),
      limits: limitsDraft(job.resources, job.policy),
      sharing: { visibility: null, group: null }
    },
    Fields: ({ value, onChange, problem }) => (
      <>
        <ScheduleFields
          value={value.schedule}
          problem={problem}
          job={job}
          onChange={schedule => onChange({ schedule })}
        />
        {value.schedule.kind !== 'hand' && parameters.length > 0 && (
          <>
            <h3>{trans.__('Parameters')}</h3>
            <ParameterFields
              field={VALUES}
              parameters={parameters}
              value={value.raw}
              problem={problem}
              onChange={raw => onChange({ raw })}
            />
          </>
        )}
        <SharingField
          value={value.sharing}
          groups={caller.groups}
          owning
          problem={problem}
          onChange={sharing => onChange({ sharing })}
        />
        <Fold
          title={trans.__('Limits')}
          note={trans.__('memory, time, retries, priority, how long outputs are kept')}
          names={LIMIT_NAMES}
          problem={problem}
        >
          <LimitFields
            value={value.limits}
            problem={problem}
            isNew
            onChange={limits => onChange({ limits })}
          />
        </Fold>
      </>
    ),
    submit: async ({ schedule, raw, limits, sharing }) => {
      const values = schedule.kind === 'hand' ? {} : parseValues(parameters, raw, VALUES, trans);
      const wanted = scheduleOf(
        schedule,
        { parameters: values, paused: job.schedule?.paused ?? false },
        trans
      );
      return updateJob(api, job.id, {
        schedule: wanted,
        unschedule: !wanted && !!job.schedule,
        resources: resourcesOf(limits, trans),
        policy: policyOf(limits, trans),
        ...sharing
      });
    }
  });
}
