import { runIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import type { Job, RunState } from '../api/types';
import { Chip, stateWord } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { IconButton } from '../ui/iconButton';
import { List, Row, STEP } from '../ui/list';
import { Moment } from '../ui/moment';
import { usePolled } from '../ui/polled';
import { Empty } from '../ui/states';
import { TabFrame } from '../ui/tabFrame';
import { listJobs } from './requests';
import { runJob } from './runForm';
import { kindWords } from './scheduleDraft';
import { StateFilter } from './stateFilter';

/** The Jobs tab: what runs without anyone watching, and promoting the next one. */
export function JobsTab(): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [words, setWords] = useState('');
  const [state, setState] = useState<RunState | null>(null);
  const [limit, setLimit] = useState(STEP);
  const jobs = usePolled(`jobs?q=${words}&state=${state ?? ''}&limit=${limit}`, () =>
    listJobs(api, words, limit, state)
  );
  return (
    <TabFrame
      search={trans.__('Search jobs')}
      onSearch={setWords}
      onRefresh={jobs.refresh}
      filter={
        <StateFilter label={trans.__('State of the last run')} value={state} onChange={setState} />
      }
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
        empty={<None words={words} state={state} />}
        render={job => <JobRow key={job.id} job={job} />}
      />
    </TabFrame>
  );
}

function None({ words, state }: { words: string; state: RunState | null }): ReactElement {
  const { trans } = usePerijove();
  if (words) {
    return <Empty title={trans.__('No job matches “%1”', words)} />;
  }
  if (state) {
    return <Empty title={trans.__('The last run of no job is: %1', stateWord(state, trans))} />;
  }
  return (
    <Empty title={trans.__('No jobs yet')} code="%promote">
      {trans.__(
        'A job is a notebook that runs by itself. Open one and press Promote, or run this in it:'
      )}
    </Empty>
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
        <When job={job} /> · {job.owner}
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
  if (!schedule.next_slot) {
    return <>{kindWords(schedule, trans)}</>;
  }
  return (
    <span title={schedule.cron ? `${schedule.cron} · ${schedule.timezone}` : undefined}>
      {trans.__('next')} <Moment at={schedule.next_slot} />
    </span>
  );
}
