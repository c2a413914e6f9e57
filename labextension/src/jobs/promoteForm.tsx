import type { ReactElement } from 'react';

import type { IApi } from '../api/requests';
import type { Inspection, Job, JobCreate, Principal } from '../api/types';
import type { IPerijove } from '../tokens';
import { usePerijove } from '../ui/context';
import { Fold } from '../ui/fold';
import { showForm, type IFieldsProps } from '../ui/form';
import { TextField } from '../ui/inputs';
import { usePolled } from '../ui/polled';
import { useSettled } from '../ui/settled';
import { SharingField, type ISharing } from '../ui/sharing';
import { InputFields, inputsDraft, type IInputs, type IInputsDraft } from './inputs';
import {
  hasPolicy,
  LIMIT_NAMES,
  LimitFields,
  limitsDraft,
  policyOf,
  resourcesOf,
  type ILimitsDraft
} from './limits';
import { ParameterFields, ParameterList } from './parameters';
import { createJob, createRun, findJob, inspectNotebook, whoami } from './requests';
import { SCHEDULE_NAMES, ScheduleFields } from './schedule';
import { draftOf, scheduleOf, type IScheduleDraft } from './scheduleDraft';
import { initialRaw, parseValues, type Raw } from './values';

/** A notebook as it is open now, saved or not. */
export interface INotebookSource {
  /** Where it lies in the user's home. */
  path: string;
  content: JobCreate['notebook'];
  /** What its kernel runs in; null for the platform's default. */
  image: string | null;
  /** Whether it is open with changes that are not saved. */
  unsaved: boolean;
  inputs: IInputs;
}

interface IDraft {
  name: string;
  schedule: IScheduleDraft;
  raw: Record<string, Raw>;
  /** Whether it runs once, right away. */
  now: boolean;
  inputs: IInputsDraft;
  limits: ILimitsDraft;
  sharing: ISharing;
}

/** Where a schedule's values are in the request, and where those of the first run are shown. */
const VALUES = 'schedule.parameters';

/**
 * Turn a notebook into a job, or into a new version of the job of that name.
 *
 * @returns The job, or null when the person changed their mind.
 * @throws `PerijoveError` when the notebook cannot be promoted at all.
 */
export async function promoteNotebook(
  perijove: IPerijove,
  source: INotebookSource
): Promise<Job | null> {
  const { api, trans } = perijove;
  const [inspection, caller] = await Promise.all([
    inspectNotebook(api, source.content),
    whoami(api)
  ]);
  const { parameters } = inspection;
  return showForm<IDraft, Job>(perijove, {
    title: trans.__('Promote notebook to a job'),
    accept: trans.__('Promote'),
    wide: true,
    names: [
      'name',
      'inputs',
      'version',
      'visibility',
      'owner_group',
      'group',
      ...SCHEDULE_NAMES,
      ...LIMIT_NAMES,
      ...parameters.map(parameter => `${VALUES}.${parameter.name}`)
    ],
    initial: {
      name: nameFrom(source.path),
      schedule: draftOf(),
      raw: initialRaw(parameters),
      now: false,
      inputs: inputsDraft(source.inputs),
      limits: limitsDraft(),
      sharing: { visibility: null, group: null }
    },
    Fields: fields => <PromoteFields {...fields} {...{ inspection, caller, source }} />,
    submit: async (draft, key) => {
      const values =
        draft.now || draft.schedule.kind !== 'hand'
          ? parseValues(parameters, draft.raw, VALUES, trans)
          : {};
      const body = await requestOf(perijove, { draft, values, source, caller });
      const job = await createJob(api, body, key);
      if (draft.now) {
        await createRun(api, job.id, values, `${key}.run`);
      }
      return job;
    }
  });
}

/** Make the request of a draft; throws `PerijoveError` at the field that is wrong. */
async function requestOf(
  { api, trans }: IPerijove,
  {
    draft,
    values,
    source,
    caller
  }: {
    draft: IDraft;
    values: Record<string, unknown>;
    source: INotebookSource;
    caller: Principal;
  }
): Promise<JobCreate> {
  const { limits, sharing } = draft;
  const schedule = scheduleOf(draft.schedule, { parameters: values, paused: false }, trans);
  const resources = resourcesOf(limits, trans);
  // What is left empty stays as it is: the API takes all of a policy or none.
  const before = hasPolicy(limits) ? await findJob(api, draft.name, caller.name) : null;
  return {
    name: draft.name.trim(),
    notebook: source.content,
    path: source.path,
    image: source.image,
    inputs: await source.inputs.read(draft.inputs.chosen),
    resources,
    policy: hasPolicy(limits) ? policyOf(limits, trans, before?.policy) : null,
    schedule,
    ...sharing
  };
}

function PromoteFields({
  value,
  onChange,
  problem,
  inspection,
  caller,
  source
}: IFieldsProps<IDraft> & {
  inspection: Inspection;
  caller: Principal;
  source: INotebookSource;
}): ReactElement {
  const { api, trans } = usePerijove();
  const { parameters, warnings } = inspection;
  const namesake = useNamesake(api, value.name.trim(), caller.name);
  const given = value.now || value.schedule.kind !== 'hand';
  const runsIn = source.image ?? trans.__("the platform's usual image");
  return (
    <>
      <p className="pj-Facts">
        {trans.__('A copy of %1 runs outside your server, in %2.', source.path, runsIn)}{' '}
        {source.unsaved &&
          trans.__('It is the notebook as it is open now, with the changes that are not saved.')}
      </p>
      {warnings.map(warning => (
        <p className="pj-Warning" key={warning}>
          {warning}
        </p>
      ))}
      <TextField
        name="name"
        label={trans.__('Name')}
        help={
          namesake
            ? trans.__(
                'You have a job of that name: this becomes its version %1. What you leave empty stays as it is.',
                namesake.latest.version + 1
              )
            : trans.__('Lower-case letters, digits, dots and hyphens, such as daily-report.')
        }
        problem={problem}
        value={value.name}
        onChange={name => onChange({ name })}
      />
      <ScheduleFields
        value={value.schedule}
        problem={problem}
        job={namesake ?? undefined}
        byHand={namesake?.schedule ? trans.__('As it is scheduled now') : undefined}
        onChange={schedule => onChange({ schedule })}
      />
      <label className="pj-Check">
        <input
          type="checkbox"
          checked={value.now}
          onChange={({ target }) => onChange({ now: target.checked })}
        />
        {trans.__('Run it once, right away')}
      </label>
      {parameters.length > 0 && (
        <>
          <h3>{trans.__('Parameters')}</h3>
          {given ? (
            <ParameterFields
              field={VALUES}
              parameters={parameters}
              value={value.raw}
              problem={problem}
              onChange={raw => onChange({ raw })}
            />
          ) : (
            <>
              <p className="pj-Facts">
                {trans.__('Asked for with each run; these are the defaults.')}
              </p>
              <ParameterList parameters={parameters} />
            </>
          )}
        </>
      )}
      <InputFields
        value={value.inputs}
        found={source.inputs}
        problem={problem}
        onChange={inputs => onChange({ inputs })}
      />
      <SharingField
        value={value.sharing}
        groups={caller.groups}
        owning
        problem={problem}
        onChange={sharing => onChange({ sharing })}
      />
      <Fold
        title={trans.__('More')}
        note={trans.__('limits, retries, priority, how long outputs are kept')}
        names={LIMIT_NAMES}
        problem={problem}
      >
        <LimitFields
          value={value.limits}
          problem={problem}
          isNew={!namesake}
          onChange={limits => onChange({ limits })}
        />
      </Fold>
    </>
  );
}

/** The caller's job of a name, once typing it pauses. */
function useNamesake(api: IApi, name: string, owner: string): Job | null {
  const settled = useSettled(name);
  const { data } = usePolled(
    `job named ${settled}`,
    async () => ({ name: settled, job: settled ? await findJob(api, settled, owner) : null }),
    { isLast: () => true }
  );
  return data?.name === name ? data.job : null;
}

/** Make a job's name of a file's: what is not allowed becomes a hyphen. */
function nameFrom(path: string): string {
  const file = path.split('/').pop() ?? '';
  const name = file
    .replace(/\.ipynb$/, '')
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .slice(0, 63);
  return name.replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '') || 'notebook';
}
