import type { TranslationBundle } from '@jupyterlab/translation';
import { useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Attempt, Run } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Log } from '../ui/log';
import { duration, Moment, secondsWords } from '../ui/moment';
import { Facts, Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure } from '../ui/states';
import { repeatRun, repeatWithOthers } from './againForm';
import { Artifacts } from './artifacts';
import { chooseComparison } from './compareForm';
import { Progress } from './progress';
import { cancelRun, getRun } from './requests';
import { Attempts } from './runAttempts';
import { RunCells } from './runCells';
import { FailureBox } from './runFailure';
import { RunLineage } from './runLineage';
import { RunLink } from './runLink';
import { Output, type ILooked } from './runOutput';
import { hasEnded, triggerWords } from './runState';
import { getAttemptLog } from './watching';

/** A run's own page: how far it is, what it wrote, why it failed, and its notebook. */
export function RunPage({ id }: { id: string }): ReactElement {
  const { api } = usePerijove();
  const run = usePolled(`run/${id}`, () => getRun(api, id), { interval: 1500, isLast: hasEnded });
  return <Loaded polled={run}>{data => <RunDetail run={data} onChange={run.refresh} />}</Loaded>;
}

function RunDetail({ run, onChange }: { run: Run; onChange: () => void }): ReactElement {
  const perijove = usePerijove();
  const { actions, api, trans } = perijove;
  const [refusal, setRefusal] = useState<IProblem>();
  const [busy, setBusy] = useState(false);
  const act = (change: Promise<unknown>): void => {
    setRefusal(undefined);
    setBusy(true);
    change
      .then(onChange, (error: unknown) => setRefusal(asProblem(error)))
      .finally(() => setBusy(false));
  };
  const ended = hasEnded(run);
  const [chosen, choose] = useState<Attempt>();
  const earlier = chosen !== undefined && chosen.attempt < run.attempt;
  const shown = earlier ? { ...run, ...chosen } : run;
  const [looked, look] = useState<ILooked>();
  return (
    <PageFrame
      kind={trans.__('Run')}
      title={run.job}
      chip={<Chip state={run.state} />}
      facts={
        <>
          {trans.__('version %1', run.version)} · {triggerWords(run, trans)} ·{' '}
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
          <button
            className="pj-Button"
            disabled={busy}
            onClick={() => act(chooseComparison(perijove, run))}
          >
            {trans.__('Compare with…')}
          </button>
          {ended ? (
            <>
              <button
                className="pj-Button"
                disabled={busy}
                onClick={() => act(repeatWithOthers(perijove, run))}
              >
                {trans.__('Run again with other parameters…')}
              </button>
              <button
                className="pj-Button pj-mod-primary"
                disabled={busy}
                onClick={() => act(repeatRun(perijove, run))}
              >
                {trans.__('Run again')}
              </button>
            </>
          ) : (
            <button
              className="pj-Button pj-mod-danger"
              disabled={busy}
              onClick={() => act(cancelRun(api, run.id))}
            >
              {trans.__('Cancel')}
            </button>
          )}
        </>
      }
    >
      {refusal && <Failure problem={refusal} />}
      {ended && run.state !== 'succeeded' && <FailureBox run={run} />}
      {!ended && run.reason && (
        <p className={`pj-Reason pj-mod-${run.state}`} role="status">
          {run.reason}
        </p>
      )}
      {run.dropped_at && (
        <p className="pj-Reason" role="status">
          {trans.__('Its output, log and files were deleted')} <Moment at={run.dropped_at} />
          {trans.__(': its job keeps them no longer.')}
        </p>
      )}
      <Facts facts={factsOf(run, trans)} />
      {Object.keys(run.metrics).length > 0 && (
        <Section title={trans.__('Metrics')}>
          <Facts
            facts={Object.entries(run.metrics).map(([name, value]) => [
              name,
              String(Number(value.toPrecision(6)))
            ])}
          />
        </Section>
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
      {run.attempt > 1 && (
        <Attempts
          run={run}
          shown={shown.attempt}
          onChoose={one => {
            choose(one.attempt < run.attempt ? one : undefined);
            look(undefined);
          }}
        />
      )}
      {earlier && shown.state !== 'succeeded' && (
        <FailureBox key={`why-${shown.attempt}`} run={shown} earlier />
      )}
      {shown.started_at && !run.dropped_at && (
        <RunCells key={`cells-${shown.attempt}`} run={shown} earlier={earlier} onLook={look} />
      )}
      {!run.dropped_at && (
        <Section title={earlier ? trans.__('Log of attempt %1', shown.attempt) : trans.__('Log')}>
          <Log
            key={shown.attempt}
            question={`run/${run.id}/log/${shown.attempt}`}
            read={offset => getAttemptLog(api, run.id, shown.attempt, offset)}
            whole={`perijove jobs logs ${run.job} --run ${run.id}`}
          />
        </Section>
      )}
      <RunLineage run={run} />
      <Artifacts run={run} />
      <Output run={shown} earlier={earlier} looked={looked} />
    </PageFrame>
  );
}

type Fact = [string, ReactElement | string];

function factsOf(run: Run, trans: TranslationBundle): Fact[] {
  const facts: Fact[] = [[trans.__('Progress'), <Progress key="progress" run={run} />]];
  if (!hasEnded(run) && run.progress.current_cell) {
    facts.push([trans.__('Now running'), <code key="cell">{run.progress.current_cell}</code>]);
  }
  if (run.failed_cell !== null && run.failed_cell !== undefined) {
    facts.push([trans.__('Failed cell'), trans.__('cell %1', run.failed_cell + 1)]);
  }
  facts.push([
    hasEnded(run) ? trans.__('Took') : trans.__('Running for'),
    run.started_at ? duration(run.started_at, run.ended_at, trans) : trans.__('not started')
  ]);
  if (run.expected_s) {
    facts.push([trans.__('Usually takes'), secondsWords(run.expected_s, trans)]);
  }
  if (run.not_before && run.state === 'queued') {
    facts.push([trans.__('Tried again'), <Moment key="retry" at={run.not_before} />]);
  }
  if (run.slot) {
    facts.push([trans.__('Scheduled for'), <Moment key="slot" at={run.slot} />]);
  }
  if (run.peak_memory_mb) {
    facts.push([trans.__('Peak memory'), trans.__('%1 MiB', Math.round(run.peak_memory_mb))]);
  }
  if (run.rerun_of) {
    facts.push([
      trans.__('Repeats'),
      <RunLink key="rerun" id={run.rerun_of} job={run.job} text={trans.__('an earlier run')} />
    ]);
  }
  for (const [name, id] of Object.entries(run.upstream)) {
    facts.push([trans.__('After'), <RunLink key={id} id={id} job={name} text={name} />]);
  }
  return facts;
}
