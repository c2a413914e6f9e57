import type { TranslationBundle } from '@jupyterlab/translation';
import { useState, type ReactElement } from 'react';

import type { Backfill, BackfillRun } from '../api/types';
import { stateWord } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure, Skeleton } from '../ui/states';
import { listBackfillRuns } from './backfills';

/** Slots on one page of the grid. */
const SLOTS = 500;
/** States as their order is told: what is done, what is under way, what is not. */
export const STATES = [
  'succeeded',
  'failed',
  'lost',
  'cancelled',
  'running',
  'queued',
  'waiting',
  'skipped',
  'unmade'
] as const;
/** What stands in a cell besides its colour. */
const MARKS: Record<BackfillRun['state'], string> = {
  succeeded: '✓',
  failed: '✕',
  lost: '?',
  cancelled: '–',
  running: '▸',
  queued: '…',
  waiting: '',
  skipped: '»',
  unmade: '–'
};

/** Every slot of a backfill, some hundreds at a time. */
export function Slots({ backfill }: { backfill: Backfill }): ReactElement {
  const { actions, api, trans } = usePerijove();
  // Cursors of the pages so far; the last one is that of the page that shows.
  const [cursors, setCursors] = useState<(string | undefined)[]>([undefined]);
  const cursor = cursors[cursors.length - 1];
  const over = isOver(backfill);
  const { data, problem, refresh } = usePolled(
    `backfill/${backfill.id}/runs?cursor=${cursor ?? ''}&over=${String(over)}`,
    () => listBackfillRuns(api, backfill.id ?? '', SLOTS, cursor),
    { interval: 3000, isLast: () => over }
  );
  const next = data?.next_cursor;
  const from = (cursors.length - 1) * SLOTS;
  return (
    <Section
      title={trans.__('Slots')}
      actions={
        backfill.total > SLOTS && (
          <span className="pj-Section-actions">
            <span className="pj-Facts">
              {trans.__(
                '%1–%2 of %3',
                from + 1,
                from + (data?.items.length ?? 0),
                backfill.total.toLocaleString()
              )}
            </span>
            <button
              className="pj-Button"
              disabled={cursors.length === 1}
              onClick={() => setCursors(cursors.slice(0, -1))}
            >
              {trans.__('Earlier')}
            </button>
            <button
              className="pj-Button"
              disabled={!next}
              onClick={() => next && setCursors([...cursors, next])}
            >
              {trans.__('Later')}
            </button>
          </span>
        )
      }
    >
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={3} />}
      {data && (
        <>
          <SlotGrid
            runs={data.items}
            timeZone={backfill.slots?.timezone}
            label={trans.__('Slots of the backfill of %1', backfill.job)}
            onOpen={run =>
              actions.open({ kind: 'run', id: run, title: `${backfill.job} · ${trans.__('run')}` })
            }
          />
          <Legend />
        </>
      )}
    </Section>
  );
}

/** One cell for each slot: its state by colour, sign and words. */
export function SlotGrid({
  runs,
  timeZone,
  label,
  onOpen
}: {
  runs: BackfillRun[];
  /** In which slots are told. */
  timeZone?: string | null;
  label: string;
  onOpen?: (runId: string) => void;
}): ReactElement {
  const { trans } = usePerijove();
  return (
    <ul className="pj-Slots" aria-label={label}>
      {runs.map(run => {
        const words = `${slotWords(run, timeZone)}: ${cellWords(run, trans)}`;
        const opened = run.run_id ?? run.earlier_run_id;
        return (
          <li key={run.position}>
            {onOpen && opened ? (
              <button
                className={`pj-Slot pj-mod-${run.state}`}
                title={words}
                aria-label={words}
                onClick={() => onOpen(opened)}
              >
                {MARKS[run.state]}
              </button>
            ) : (
              <span
                className={`pj-Slot pj-mod-${run.state}`}
                title={words}
                aria-label={words}
                role="img"
              >
                {MARKS[run.state]}
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function Legend(): ReactElement {
  const { trans } = usePerijove();
  return (
    <ul className="pj-Slots-legend" aria-hidden="true">
      {STATES.map(state => (
        <li key={state}>
          <span className={`pj-Slot pj-mod-${state}`}>{MARKS[state]}</span>
          {slotStateWord(state, trans)}
        </li>
      ))}
    </ul>
  );
}

/** Whether nothing of it will change any more. */
export function isOver({ state, counts }: Backfill): boolean {
  return state !== 'running' && !counts.running && !counts.queued;
}

/** Say how many slots are in which state. */
export function countWords(counts: Backfill['counts'], trans: TranslationBundle): string {
  const told = STATES.filter(state => counts[state]).map(
    state => `${counts[state] ?? 0} ${slotStateWord(state, trans)}`
  );
  return told.length > 0 ? told.join(' · ') : trans.__('nothing');
}

/** Say which slot it is: its instant, or its parameters. */
export function slotWords({ slot, parameters }: BackfillRun, timeZone?: string | null): string {
  const values = Object.entries(parameters).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`
  );
  return [slot && clockWords(slot, timeZone), values.join(', ')].filter(Boolean).join(' · ');
}

/** Say an instant as clocks in a time zone show it; without one, as they do here. */
export function clockWords(instant: string, timeZone?: string | null): string {
  return new Date(instant).toLocaleString(undefined, { timeZone: timeZone ?? undefined });
}

function cellWords(run: BackfillRun, trans: TranslationBundle): string {
  const words = slotStateWord(run.state, trans);
  return run.earlier_state && run.state !== run.earlier_state
    ? trans.__('%1 (before: %2)', words, slotStateWord(run.earlier_state, trans))
    : words;
}

function slotStateWord(state: BackfillRun['state'], trans: TranslationBundle): string {
  switch (state) {
    case 'waiting':
      return trans.__('to run');
    case 'skipped':
      return trans.__('skipped: ran before');
    case 'unmade':
      return trans.__('never begun');
    default:
      return stateWord(state, trans);
  }
}
