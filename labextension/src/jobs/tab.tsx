import { runIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import type { Job } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { IconButton } from '../ui/iconButton';
import { List, Row, STEP } from '../ui/list';
import { Moment } from '../ui/moment';
import { usePolled } from '../ui/polled';
import { Empty } from '../ui/states';
import { TabFrame } from '../ui/tabFrame';
import { listJobs } from './requests';
import { runJob } from './runForm';

/** The Jobs tab: what runs without anyone watching, and promoting the next one. */
export function JobsTab(): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [words, setWords] = useState('');
  const [limit, setLimit] = useState(STEP);
  const jobs = usePolled(`jobs?q=${words}&limit=${limit}`, () => listJobs(api, words, limit));
  return (
    <TabFrame
      search={trans.__('Search jobs')}
      onSearch={setWords}
      onRefresh={jobs.refresh}
      primary={{
        label: trans.__('Promote notebook…'),
        hint: trans.__('Turn the open notebook into a job'),
        onClick: () => actions.promote()
      }}
    >
      <List
        label={trans.__('Jobs')}
        polled={jobs}
        limit={limit}
        onMore={setLimit}
        empty={
          words ? (
            <Empty title={trans.__('No job matches “%1”', words)} />
          ) : (
            <Empty title={trans.__('No jobs yet')} code="%promote">
              {trans.__(
                'A job is a notebook that runs by itself. Open one and press Promote, or run this in it:'
              )}
            </Empty>
          )
        }
        render={job => <JobRow key={job.id} job={job} />}
      />
    </TabFrame>
  );
}

function JobRow({ job }: { job: Job }): ReactElement {
  const perijove = usePerijove();
  const { actions, trans } = perijove;
  const last = job.last_run;
  return (
    <Row
      title={job.name}
      chip={<Chip state={last?.state ?? 'never'} title={last?.reason ?? undefined} />}
      onOpen={() => actions.open({ kind: 'job', id: job.id, title: job.name })}
      actions={
        <IconButton
          icon={runIcon}
          label={trans.__('Run %1…', job.name)}
          onClick={() => void runJob(perijove, job)}
        />
      }
    >
      <span>
        <When job={job} />
      </span>
      {last && <Moment at={last.ended_at ?? last.started_at ?? last.queued_at} />}
    </Row>
  );
}

/** When a job runs next. */
export function When({ job }: { job: Job }): ReactElement {
  const { trans } = usePerijove();
  const { schedule } = job;
  if (!schedule) {
    return <>{trans.__('not scheduled')}</>;
  }
  if (schedule.paused) {
    return <>{trans.__('paused')}</>;
  }
  return (
    <span title={`${schedule.cron} · ${schedule.timezone}`}>
      {trans.__('next')} {schedule.next_slot ? <Moment at={schedule.next_slot} /> : '–'}
    </span>
  );
}
