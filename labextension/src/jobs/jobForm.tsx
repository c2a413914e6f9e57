import { JSONExt, type ReadonlyJSONObject } from '@lumino/coreutils';

import type { Job, Principal } from '../api/types';
import type { IPerijove } from '../tokens';
import { Fold } from '../ui/fold';
import { showForm } from '../ui/form';
import { SharingField, sharedWith, type ISharing } from '../ui/sharing';
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
import { asked, draftOf, scheduleOf, type IScheduleDraft } from './scheduleDraft';
import { initialRaw, parseValues, type Raw } from './values';

/** What of `wanted` differs from what somebody saw: only that is sent, and replaces another's. */
function changes<T extends object>(
  wanted: T | null,
  before: object | null | undefined
): Partial<T> | null {
  if (!wanted || !before) {
    return wanted;
  }
  const known = new Map(Object.entries(before as ReadonlyJSONObject));
  const differing = Object.entries(wanted as ReadonlyJSONObject).filter(
    ([name, value]) => !JSONExt.deepEqual(value, known.get(name) ?? null)
  );
  return differing.length > 0 ? (Object.fromEntries(differing) as Partial<T>) : null;
}

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
          now={sharedWith(job, trans)}
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
      const timed = changes(wanted, job.schedule && asked(job.schedule));
      return updateJob(api, job.id, {
        schedule: timed,
        unschedule: !wanted && !!job.schedule,
        resources: changes(resourcesOf(limits, trans), job.resources),
        policy: changes(policyOf(limits, trans), job.policy),
        // Values are replaced together, so another's must not have come in between.
        seen: timed && 'parameters' in timed ? (job.schedule?.parameters ?? {}) : null,
        ...sharing
      });
    }
  });
}
