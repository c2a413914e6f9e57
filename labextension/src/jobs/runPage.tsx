import { useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Run } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Log } from '../ui/log';
import { duration, Moment } from '../ui/moment';
import { Facts, Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure } from '../ui/states';
import { Progress } from './progress';
import { cancelRun, getJob, getRun, getRunLog } from './requests';
import { runJob } from './runForm';
import { hasEnded } from './runState';

/** A run's own page: how far it is, what it wrote, and its notebook. */
export function RunPage({ id }: { id: string }): ReactElement {
  const { api } = usePerijove();
  const run = usePolled(`run/${id}`, () => getRun(api, id), { interval: 1500, isLast: hasEnded });
  return <Loaded polled={run}>{data => <RunDetail run={data} onChange={run.refresh} />}</Loaded>;
}

function RunDetail({ run, onChange }: { run: Run; onChange: () => void }): ReactElement {
  const perijove = usePerijove();
  const { actions, api, trans } = perijove;
  const [refusal, setRefusal] = useState<IProblem>();
  const act = (change: Promise<unknown>): void => {
    setRefusal(undefined);
    change.then(onChange, (error: unknown) => setRefusal(asProblem(error)));
  };
  const ended = hasEnded(run);
  return (
    <PageFrame
      kind={trans.__('Run')}
      title={run.job}
      chip={<Chip state={run.state} />}
      facts={
        <>
          {trans.__('version %1', run.version)} ·{' '}
          {run.trigger === 'schedule' ? trans.__('by schedule') : run.requested_by} ·{' '}
          <Moment at={run.queued_at} />
        </>
      }
      actions={
        <>
          <button
            className="pj-Button"
            onClick={() => actions.open({ kind: 'job', id: run.job_id, title: run.job })}
          >
            {trans.__('Show job')}
          </button>
          {ended ? (
            <button
              className="pj-Button pj-mod-primary"
              onClick={() =>
                act(getJob(api, run.job_id).then(job => runJob(perijove, job, run.parameters)))
              }
            >
              {trans.__('Run again…')}
            </button>
          ) : (
            <button className="pj-Button pj-mod-danger" onClick={() => act(cancelRun(api, run.id))}>
              {trans.__('Cancel')}
            </button>
          )}
        </>
      }
    >
      {refusal && <Failure problem={refusal} />}
      {run.reason && (
        <p className={`pj-Reason pj-mod-${run.state}`} role="status">
          {run.reason}
        </p>
      )}
      <Facts facts={factsOf(run, trans)} />
      {!ended && (
        <p className="pj-CurrentCell">
          {trans.__('Now running')} <code>{run.progress.current_cell || '–'}</code>
        </p>
      )}
      {Object.keys(run.parameters).length > 0 && (
        <Section title={trans.__('Parameters')}>
          <Facts
            facts={Object.entries(run.parameters).map(([name, value]) => [
              name,
              <code key={name}>{JSON.stringify(value)}</code>
            ])}
          />
        </Section>
      )}
      <Section title={trans.__('Log')}>
        <Log question={`run/${run.id}/log`} read={offset => getRunLog(api, run.id, offset)} />
      </Section>
      {run.has_output && ended && (
        <Section title={trans.__('Output notebook')}>
          {/* What others wrote: no scripts, no origin, no cookies. */}
          <iframe
            className="pj-Notebook"
            sandbox=""
            referrerPolicy="no-referrer"
            loading="lazy"
            title={trans.__('Output notebook of %1', run.job)}
            src={api.url('runs', run.id, 'notebook.html')}
          />
        </Section>
      )}
    </PageFrame>
  );
}

function factsOf(
  run: Run,
  trans: ReturnType<typeof usePerijove>['trans']
): [string, ReactElement | string][] {
  const facts: [string, ReactElement | string][] = [
    [trans.__('Progress'), <Progress key="progress" run={run} />]
  ];
  if (run.failed_cell !== null && run.failed_cell !== undefined) {
    facts.push([trans.__('Failed cell'), trans.__('code cell %1', run.failed_cell + 1)]);
  }
  facts.push([
    hasEnded(run) ? trans.__('Took') : trans.__('Running for'),
    run.started_at ? duration(run.started_at, run.ended_at, trans) : trans.__('not started')
  ]);
  if (run.slot) {
    facts.push([trans.__('Scheduled for'), <Moment key="slot" at={run.slot} />]);
  }
  if (run.peak_memory_mb) {
    facts.push([trans.__('Peak memory'), trans.__('%1 MiB', Math.round(run.peak_memory_mb))]);
  }
  return facts;
}
