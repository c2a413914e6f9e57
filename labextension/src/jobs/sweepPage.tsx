import type { TranslationBundle } from '@jupyterlab/translation';
import { useMemo, useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Sweep, SweepTrial } from '../api/types';
import { Chart, useTheme } from '../ui/chart';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { duration, Moment } from '../ui/moment';
import { Facts, Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Empty, Failure, Skeleton } from '../ui/states';
import { DataTable } from '../ui/table';
import { useMine } from './mine';
import { parallel } from './sweepChart';
import { cancelSweep, getSweep, listTrials } from './sweeps';

/** A sweep's own page: its trials, the best first, and how the parameters bear on the metric. */
export function SweepPage({ id }: { id: string }): ReactElement {
  const { api } = usePerijove();
  const sweep = usePolled(
    `sweep/${id}`,
    async () => {
      const [found, trials] = await Promise.all([getSweep(api, id), listTrials(api, id)]);
      return { sweep: found, trials };
    },
    { interval: 2000, isLast: ({ sweep: found }) => isOver(found) }
  );
  return <Loaded polled={sweep}>{data => <Detail {...data} onChange={sweep.refresh} />}</Loaded>;
}

interface IDetailProps {
  sweep: Sweep;
  trials: SweepTrial[];
  onChange: () => void;
}

function Detail({ sweep, trials, onChange }: IDetailProps): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [refusal, setRefusal] = useState<IProblem>();
  const [busy, setBusy] = useState(false);
  const cancel = (): void => {
    setRefusal(undefined);
    setBusy(true);
    cancelSweep(api, sweep.id)
      .then(onChange, (error: unknown) => setRefusal(asProblem(error)))
      .finally(() => setBusy(false));
  };
  const mine = useMine(sweep.job_id);
  const { best } = sweep;
  const over = isOver(sweep);
  // Each says why at its state; where there is nothing else to see, so does the page.
  const unmeasured = over && !best ? trials.find(({ reason }) => reason)?.reason : null;
  return (
    <PageFrame
      kind={trans.__('Sweep')}
      title={sweep.job}
      chip={<Chip state={sweep.state} />}
      facts={
        <>
          {goalWords(sweep, trans)} · {sweep.requested_by} · <Moment at={sweep.created_at} />
        </>
      }
      actions={
        <>
          <button
            className="pj-Button"
            onClick={() => actions.open({ kind: 'job', id: sweep.job_id, title: sweep.job })}
          >
            {trans.__('Show job')}
          </button>
          {best && (
            <button
              className="pj-Button"
              onClick={() =>
                actions.open({
                  kind: 'run',
                  id: best.run_id,
                  title: `${sweep.job} · ${trans.__('run')}`
                })
              }
            >
              {trans.__('Show best run')}
            </button>
          )}
          {mine && sweep.state === 'running' && (
            <button className="pj-Button pj-mod-danger" disabled={busy} onClick={cancel}>
              {trans.__('Cancel')}
            </button>
          )}
        </>
      }
    >
      {refusal && <Failure problem={refusal} />}
      {[sweep.reason, sweep.tracking_note, unmeasured].map(
        words =>
          words && (
            <p key={words} className="pj-Reason" role="status">
              {words}
            </p>
          )
      )}
      <Facts
        facts={[
          [
            trans.__('Best'),
            best
              ? `${figure(best.value)} · ${valuesWords(best)}`
              : over
                ? trans.__('no trial has a value')
                : trans.__('none yet')
          ],
          [trans.__('Trials'), progressWords(sweep, trans)],
          [trans.__('Method'), sweep.method],
          [trans.__('Runs at once'), sweep.concurrency],
          [trans.__('Version'), sweep.version],
          [trans.__('Stop after failures'), sweep.max_failures ?? trans.__('never')]
        ]}
      />
      <ParallelCoordinates sweep={sweep} trials={trials} />
      <Trials sweep={sweep} trials={trials} />
    </PageFrame>
  );
}

function ParallelCoordinates({
  sweep,
  trials
}: {
  sweep: Sweep;
  trials: SweepTrial[];
}): ReactElement | null {
  const { trans } = usePerijove();
  const theme = useTheme();
  const content = JSON.stringify([sweep.space, sweep.metric, sweep.best?.number, trials]);
  const spec = useMemo(
    () => parallel(sweep, trials, theme, trans),
    // eslint-disable-next-line react-hooks/exhaustive-deps -- they are new with every answer
    [content, theme, trans]
  );
  return spec && <Chart label={trans.__('Parameters and %1', sweep.metric)} spec={spec} />;
}

function Trials({ sweep, trials }: { sweep: Sweep; trials: SweepTrial[] }): ReactElement {
  const { actions, trans } = usePerijove();
  const [byValue, setByValue] = useState(true);
  const rows = byValue ? sorted(sweep, trials) : trials;
  return (
    <Section
      title={trans.__('Trials')}
      actions={
        <button className="pj-Button" onClick={() => setByValue(!byValue)}>
          {byValue ? trans.__('Sort by number') : trans.__('Sort by %1', sweep.metric)}
        </button>
      }
    >
      {trials.length === 0 && sweep.state === 'running' && <Skeleton rows={3} />}
      {trials.length === 0 && sweep.state !== 'running' && (
        <Empty title={trans.__('No trial was begun')} />
      )}
      {trials.length > 0 && (
        <DataTable<SweepTrial>
          label={trans.__('Trials of the sweep of %1', sweep.job)}
          rows={rows}
          rowKey={({ number }) => number}
          isSelected={({ number }) => number === sweep.best?.number}
          onOpen={({ run_id: id }) =>
            actions.open({ kind: 'run', id, title: `${sweep.job} · ${trans.__('run')}` })
          }
          columns={[
            {
              name: sweep.metric,
              numeric: true,
              cell: trial => (
                <>
                  {trial.number === sweep.best?.number && (
                    <span className="pj-Best">{trans.__('★ best')}</span>
                  )}
                  {figure(trial.value)}
                </>
              )
            },
            ...Object.keys(sweep.space).map(name => ({
              name,
              numeric: trials.every(({ parameters }) => typeof parameters[name] === 'number'),
              cell: ({ parameters }: SweepTrial) => shown(parameters[name])
            })),
            {
              name: trans.__('State'),
              cell: trial => <Chip state={trial.state} title={trial.reason ?? undefined} />
            },
            { name: trans.__('Trial'), numeric: true, cell: ({ number }) => number },
            {
              name: trans.__('Took'),
              numeric: true,
              cell: ({ started_at: start, ended_at: end }) =>
                start ? duration(start, end, trans) : ''
            }
          ]}
        />
      )}
    </Section>
  );
}

/** Whether nothing of it will change any more. */
export function isOver({ state, counts }: Sweep): boolean {
  return state !== 'running' && !counts.running && !counts.queued;
}

/** Say how many trials are over, and how. */
export function progressWords({ counts, trials }: Sweep, trans: TranslationBundle): string {
  const failed = (counts.failed ?? 0) + (counts.lost ?? 0) + (counts.no_metric ?? 0);
  const words = [
    trans.__('%1 of %2 succeeded', counts.succeeded ?? 0, trials),
    failed > 0 ? trans.__('%1 failed', failed) : '',
    counts.no_metric ? trans.__('%1 of them without the metric', counts.no_metric) : '',
    counts.running ? trans.__('%1 running', counts.running) : ''
  ];
  return words.filter(Boolean).join(' · ');
}

/** Say what is searched for. */
export function goalWords({ goal, metric }: Sweep, trans: TranslationBundle): string {
  return goal === 'min' ? trans.__('smallest %1', metric) : trans.__('largest %1', metric);
}

/** Write a metric's value shortly. */
export function figure(value?: number | null): string {
  return value === null || value === undefined ? '–' : String(Number(value.toPrecision(6)));
}

/** Write a trial's parameters shortly. */
export function valuesWords({ parameters }: SweepTrial): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}=${shown(value)}`)
    .join(', ');
}

function shown(value: unknown): string {
  if (typeof value === 'number') {
    return figure(value);
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The best first; those without a value last, in the order they were begun. */
function sorted({ goal }: Sweep, trials: SweepTrial[]): SweepTrial[] {
  const sign = goal === 'min' ? 1 : -1;
  const rank = ({ state, value }: SweepTrial): number =>
    state === 'succeeded' && value !== null && value !== undefined ? sign * value : Infinity;
  return [...trials].sort((one, other) => {
    const [first, second] = [rank(one), rank(other)];
    return first === second ? one.number - other.number : first - second;
  });
}
