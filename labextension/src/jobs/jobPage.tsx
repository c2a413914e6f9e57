import { Dialog, showDialog } from '@jupyterlab/apputils';
import { useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Job, Run } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { STEP } from '../ui/list';
import { duration, Moment } from '../ui/moment';
import { Facts, Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Empty, Failure, Skeleton } from '../ui/states';
import { sharedWith } from '../ui/sharing';
import { DataTable } from '../ui/table';
import { ParameterList } from './parameters';
import { Progress } from './progress';
import { deleteJob, getJob, listRuns, updateJob } from './requests';
import { runJob } from './runForm';
import { asked } from './schedule';
import { When } from './tab';

/** A job's own page: schedule, parameters and runs. */
export function JobPage({ id }: { id: string }): ReactElement {
  const { api } = usePerijove();
  const [deleted, setDeleted] = useState(false);
  const job = usePolled(`job/${id}`, () => getJob(api, id), { isLast: () => deleted });
  return (
    <Loaded polled={job}>
      {data => (
        <JobDetail
          job={data}
          deleted={deleted}
          onChange={job.refresh}
          onDelete={() => setDeleted(true)}
        />
      )}
    </Loaded>
  );
}

interface IDetailProps {
  job: Job;
  deleted: boolean;
  onChange: () => void;
  onDelete: () => void;
}

function JobDetail({ job, deleted, onChange, onDelete }: IDetailProps): ReactElement {
  const perijove = usePerijove();
  const { api, trans } = perijove;
  const [refusal, setRefusal] = useState<IProblem>();
  const act = (change: Promise<unknown>): void => {
    setRefusal(undefined);
    change.then(onChange, (error: unknown) => setRefusal(asProblem(error)));
  };
  const remove = async (): Promise<void> => {
    const { button } = await showDialog({
      title: trans.__('Delete %1?', job.name),
      body: trans.__('Its schedule ends and its active runs are cancelled.'),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })]
    });
    if (button.accept) {
      await deleteJob(api, job.id);
      onDelete();
    }
  };
  const { schedule } = job;
  return (
    <PageFrame
      kind={trans.__('Job')}
      title={job.name}
      chip={<Chip state={job.last_run?.state ?? 'never'} />}
      facts={`${job.owner} · ${sharedWith(job, trans)} · ${trans.__('version %1', job.latest.version)}`}
      actions={
        !deleted && (
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
                      schedule: { ...asked(schedule), paused: !schedule.paused },
                      unschedule: false
                    })
                  )
                }
              >
                {schedule.paused ? trans.__('Resume schedule') : trans.__('Pause schedule')}
              </button>
            )}
            <button className="pj-Button pj-mod-primary" onClick={() => void runJob(perijove, job)}>
              {trans.__('Run…')}
            </button>
          </>
        )
      }
    >
      {deleted && <Empty title={trans.__('%1 is deleted', job.name)} />}
      {refusal && <Failure problem={refusal} />}
      <Facts
        facts={[
          [trans.__('Next run'), <When key="when" job={job} />],
          ...(schedule
            ? ([
                [trans.__('Schedule'), <code key="cron">{schedule.cron}</code>],
                [trans.__('Time zone'), schedule.timezone]
              ] as [string, ReactElement | string][])
            : []),
          [trans.__('Notebook'), job.latest.path || '–'],
          ...(job.latest.image
            ? ([[trans.__('Image'), job.latest.image]] as [string, string][])
            : []),
          [trans.__('Promoted'), <Moment key="at" at={job.latest.created_at} />]
        ]}
      />
      <Runs job={job} />
      {job.latest.parameters.length > 0 && (
        <Section title={trans.__('Parameters')}>
          <ParameterList parameters={job.latest.parameters} />
        </Section>
      )}
    </PageFrame>
  );
}

function Runs({ job }: { job: Job }): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [limit, setLimit] = useState(STEP);
  const { data, problem, refresh } = usePolled(
    `job/${job.id}/runs?limit=${limit}`,
    () => listRuns(api, job.id, limit),
    { interval: 3000 }
  );
  return (
    <Section title={trans.__('Runs')}>
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={4} />}
      {data?.items.length === 0 && (
        <Empty title={trans.__('Not run yet')} code={`%job run ${job.name}`}>
          {trans.__('Press Run, or paste this into a notebook:')}
        </Empty>
      )}
      {!!data?.items.length && (
        <DataTable<Run>
          label={trans.__('Runs of %1', job.name)}
          rows={data.items}
          rowKey={run => run.id}
          onOpen={run =>
            actions.open({ kind: 'run', id: run.id, title: `${run.job} · ${trans.__('run')}` })
          }
          columns={[
            {
              name: trans.__('State'),
              cell: run => <Chip state={run.state} title={run.reason ?? undefined} />
            },
            { name: trans.__('Progress'), cell: run => <Progress run={run} /> },
            { name: trans.__('Queued'), cell: run => <Moment at={run.queued_at} /> },
            {
              name: trans.__('Took'),
              numeric: true,
              cell: run => run.started_at && duration(run.started_at, run.ended_at, trans)
            },
            { name: trans.__('Version'), numeric: true, cell: run => run.version },
            {
              name: trans.__('Parameters'),
              cell: run =>
                Object.entries(run.parameters)
                  .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
                  .join(', ')
            },
            {
              name: trans.__('By'),
              cell: run => (run.trigger === 'schedule' ? trans.__('schedule') : run.requested_by)
            }
          ]}
        />
      )}
      {data?.next_cursor && (
        <button className="pj-Button" onClick={() => setLimit(limit + STEP)}>
          {trans.__('Show more')}
        </button>
      )}
    </Section>
  );
}
