import type { ReactElement } from 'react';

import type { Inspection, Job, JobCreate, Principal } from '../api/types';
import type { IPerijove } from '../tokens';
import { Field, showForm, type IFieldsProps } from '../ui/form';
import { SharingField, type ISharing } from '../ui/sharing';
import { usePerijove } from '../ui/context';
import { ParameterFields, ParameterList } from './parameters';
import { createJob, inspectNotebook, whoami } from './requests';
import { noSchedule, ScheduleFields, USUAL, type IScheduleDraft } from './schedule';
import { initialRaw, parseValues, type Raw } from './values';

/** A notebook as it is open now, saved or not. */
export interface INotebookSource {
  /** Where it lies in the user's home. */
  path: string;
  content: JobCreate['notebook'];
  /** What its kernel runs in; null for the platform's default. */
  image: string | null;
}

interface IDraft {
  name: string;
  schedule: IScheduleDraft;
  raw: Record<string, Raw>;
  sharing: ISharing;
}

/** Where a schedule's values are in the request. */
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
    names: [
      'name',
      'schedule.cron',
      'schedule.timezone',
      'visibility',
      'group',
      ...parameters.map(parameter => `${VALUES}.${parameter.name}`)
    ],
    initial: {
      name: nameFrom(source.path),
      schedule: noSchedule(),
      raw: initialRaw(parameters),
      sharing: { visibility: null, group: null }
    },
    Fields: fields => <PromoteFields {...fields} {...{ inspection, caller, path: source.path }} />,
    submit: async ({ name, schedule, raw, sharing }, key) =>
      createJob(
        api,
        {
          name,
          notebook: source.content,
          path: source.path,
          image: source.image,
          inputs: [],
          resources: {},
          schedule: schedule.cron
            ? {
                ...USUAL,
                ...schedule,
                parameters: parseValues(parameters, raw, VALUES, trans),
                paused: false
              }
            : null,
          ...sharing
        },
        key
      )
  });
}

function PromoteFields({
  value,
  onChange,
  problem,
  inspection,
  caller,
  path
}: IFieldsProps<IDraft> & {
  inspection: Inspection;
  caller: Principal;
  path: string;
}): ReactElement {
  const { trans } = usePerijove();
  const { parameters, warnings } = inspection;
  return (
    <>
      <p className="pj-Facts">
        {trans.__('A snapshot of %1 runs outside your server, now and on a schedule.', path)}
      </p>
      {warnings.map(warning => (
        <p className="pj-Warning" key={warning}>
          {warning}
        </p>
      ))}
      <Field
        name="name"
        label={trans.__('Name')}
        help={trans.__('A name you already use gets a new version.')}
        problem={problem}
      >
        {attributes => (
          <input
            {...attributes}
            className="pj-Input"
            spellCheck={false}
            value={value.name}
            onChange={({ target }) => onChange({ name: target.value })}
          />
        )}
      </Field>
      <ScheduleFields
        value={value.schedule}
        problem={problem}
        onChange={schedule => onChange({ schedule })}
      />
      <h3>{trans.__('Parameters')}</h3>
      {parameters.length === 0 && (
        <p className="pj-Facts">
          {trans.__(
            'None: tag a cell “parameters” and assign values in it, such as C: float = 0.5, to set them for each run.'
          )}
        </p>
      )}
      {parameters.length > 0 && !value.schedule.cron && <ParameterList parameters={parameters} />}
      {parameters.length > 0 && value.schedule.cron && (
        <ParameterFields
          field={VALUES}
          parameters={parameters}
          value={value.raw}
          problem={problem}
          onChange={raw => onChange({ raw })}
        />
      )}
      <SharingField
        value={value.sharing}
        groups={caller.groups}
        problem={problem}
        onChange={sharing => onChange({ sharing })}
      />
    </>
  );
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
