import { Dialog, showDialog } from '@jupyterlab/apputils';
import { useState, type ReactElement, type ReactNode } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Job, Principal } from '../api/types';
import { Caller } from '../images/caller';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Moment } from '../ui/moment';
import { Facts, Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { sharedWith } from '../ui/sharing';
import { bytesWords } from '../ui/size';
import { Empty, Failure } from '../ui/states';
import { RunCharts } from './charts';
import { Backfills } from './backfillList';
import { editJob } from './jobForm';
import { Runs } from './jobRuns';
import { limitWords } from './limits';
import { Notifications } from './notifyList';
import { isMine } from './mine';
import { ParameterList } from './parameters';
import { deleteJob, exportJob, getJob, previewSchedule, updateJob } from './requests';
import { runJob } from './runForm';
import { asked, followWords, kindWords } from './scheduleDraft';
import { Sweeps } from './sweepList';
import { When } from './tab';
import { Versions } from './versions';

/** A job's own page: when it runs, its runs and its versions. */
export function JobPage({ id }: { id: string }): ReactElement {
  const { api, trans } = usePerijove();
  const [deleted, setDeleted] = useState<string>();
  const job = usePolled(`job/${id}`, () => getJob(api, id));
  if (deleted !== undefined) {
    return (
      <PageFrame kind={trans.__('Job')} title={deleted}>
        <Empty title={trans.__('%1 is deleted', deleted)} />
      </PageFrame>
    );
  }
  return (
    <Caller>
      {caller => (
        <Loaded polled={job}>
          {data => (
            <JobDetail
              job={data}
              caller={caller}
              onChange={job.refresh}
              onDelete={() => setDeleted(data.name)}
            />
          )}
        </Loaded>
      )}
    </Caller>
  );
}

interface IDetailProps {
  job: Job;
  caller: Principal;
  onChange: () => void;
  onDelete: () => void;
}

function JobDetail({ job, caller, onChange, onDelete }: IDetailProps): ReactElement {
  const { api, trans } = usePerijove();
  const [refusal, setRefusal] = useState<IProblem>();
  const act = (change: Promise<unknown>): void => {
    setRefusal(undefined);
    change.then(onChange, (error: unknown) => setRefusal(asProblem(error)));
  };
  const mine = isMine(job, caller);
  const download = async (): Promise<void> =>
    save(await exportJob(api, job.id), `${job.owner}-${job.name}.py`);
  return (
    <PageFrame
      kind={trans.__('Job')}
      title={job.name}
      chip={
        <Chip state={job.last_run?.state ?? 'never'} title={job.last_run?.reason ?? undefined} />
      }
      facts={[job.owner, sharedWith(job, trans), trans.__('version %1', job.latest.version)].join(
        ' · '
      )}
      actions={
        <>
          <button
            className="pj-Button"
            onClick={() => act(download())}
            title={trans.__('Version %1 as a DAG of Airflow', job.latest.version)}
          >
            {trans.__('Export')}
          </button>
          {mine && <Actions job={job} act={act} onDelete={onDelete} />}
        </>
      }
    >
      {refusal && <Failure problem={refusal} />}
      <Overview job={job} />
      <Runs job={job} />
      <RunCharts job={job} />
      <Versions job={job} mine={mine} act={act} />
      <Backfills job={job} mine={mine} />
      <Sweeps job={job} mine={mine} />
      <Notifications job={job} mine={mine} />
      {job.latest.parameters.length > 0 && (
        <Section title={trans.__('Parameters')}>
          <ParameterList parameters={job.latest.parameters} />
        </Section>
      )}
    </PageFrame>
  );
}

/** Have the browser keep a text as a file. */
function save(text: string, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function Actions({
  job,
  act,
  onDelete
}: {
  job: Job;
  act: (change: Promise<unknown>) => void;
  onDelete: () => void;
}): ReactElement {
  const perijove = usePerijove();
  const { api, trans } = perijove;
  const { schedule } = job;
  const remove = async (): Promise<void> => {
    const { button } = await showDialog({
      title: trans.__('Delete %1?', job.name),
      body: trans.__(
        'Its schedule ends, its active runs are cancelled, and jobs that run after it are paused.'
      ),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })]
    });
    if (button.accept) {
      await deleteJob(api, job.id);
      onDelete();
    }
  };
  return (
    <>
      <button className="pj-Button" onClick={() => act(remove())}>
        {trans.__('Delete…')}
      </button>
      {schedule && (
        <button
          className="pj-Button"
          onClick={() =>
            act(
              updateJob(api, job.id, {
                schedule: { paused: !schedule.paused }
              })
            )
          }
        >
          {schedule.paused ? trans.__('Resume schedule') : trans.__('Pause schedule')}
        </button>
      )}
      <button className="pj-Button" onClick={() => act(editJob(perijove, job))}>
        {trans.__('Edit schedule and limits…')}
      </button>
      <button className="pj-Button pj-mod-primary" onClick={() => void runJob(perijove, job)}>
        {trans.__('Run…')}
      </button>
    </>
  );
}

/** When it runs, what it runs in, and what its runs may use. */
function Overview({ job }: { job: Job }): ReactElement {
  const { trans } = usePerijove();
  const { latest, schedule } = job;
  const facts: [string, ReactNode][] = [
    [trans.__('Next run'), <When key="when" job={job} />],
    [
      trans.__('Schedule'),
      schedule ? (
        <span className="pj-ScheduleWords" key="words">
          <ScheduleWords job={job} />
        </span>
      ) : (
        trans.__('only by hand')
      )
    ]
  ];
  if (schedule) {
    facts.push([trans.__('It runs'), followWords(schedule.version, trans)]);
  }
  facts.push(
    [trans.__('Image'), latest.image ?? trans.__("the platform's")],
    ...limitWords(job.resources, job.policy, trans),
    [trans.__('Notebook'), latest.path || '–']
  );
  if (latest.inputs.length > 0) {
    const total = latest.inputs.reduce((sum, { bytes }) => sum + bytes, 0);
    facts.push([
      trans.__('Files'),
      <span key="files" title={latest.inputs.map(({ path }) => path).join('\n')}>
        {trans._n('%1 file', '%1 files', latest.inputs.length)} · {bytesWords(total)}
      </span>
    ]);
  }
  facts.push([trans.__('Promoted'), <Moment key="at" at={latest.created_at} />]);
  return <Facts facts={facts} />;
}

/** A schedule in words, as the API says it; until then what it is made of. */
function ScheduleWords({ job }: { job: Job }): ReactElement {
  const { api, trans } = usePerijove();
  const schedule = job.schedule && asked(job.schedule);
  const question = JSON.stringify(schedule);
  const { data, problem } = usePolled(
    `schedule ${question}`,
    async () => (schedule ? await previewSchedule(api, { ...schedule, parameters: {} }) : null),
    { isLast: () => true }
  );
  const code = schedule?.cron ? `${schedule.cron} · ${schedule.timezone}` : undefined;
  if (data) {
    return <span title={code}>{data.text}</span>;
  }
  // Such as for who may not see the jobs that it follows.
  return job.schedule && problem && !code ? (
    <>{kindWords(job.schedule, trans)}</>
  ) : (
    <code>{code ?? '…'}</code>
  );
}
