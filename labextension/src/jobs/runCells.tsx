import { useContext, useEffect, useLayoutEffect, useRef, useState, type ReactElement } from 'react';

import type { CellTime, Run } from '../api/types';
import { usePerijove, VisibleContext } from '../ui/context';
import { moveFocus } from '../ui/list';
import { secondsWords } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure, Skeleton } from '../ui/states';
import type { ILooked } from './runOutput';
import { hasEnded } from './runState';
import { getCells } from './watching';

/** When each cell of a run ran, and how long the running one and those to come will take. */
export function RunCells({
  run,
  earlier = false,
  onLook
}: {
  run: Run;
  /** Whether it is an earlier attempt of the run. */
  earlier?: boolean;
  /** Shows what a cell has put out. */
  onLook: (cell: ILooked) => void;
}): ReactElement | null {
  const { api, trans } = usePerijove();
  const ended = hasEnded(run);
  // Another question once it has ended: the last answer came before.
  const { data, problem, refresh } = usePolled(
    `run/${run.id}/cells/${run.attempt}${ended ? '/ended' : ''}`,
    () => getCells(api, run),
    { interval: 1500, isLast: () => ended }
  );
  const now = useNow(!ended);
  const list = useRef<HTMLOListElement>(null);
  const current = data?.cells.findIndex(cell => cell.started_at && !cell.ended_at);
  useLayoutEffect(() => {
    const row = list.current?.querySelector<HTMLElement>('[aria-current]');
    if (row && list.current) {
      // Only the list moves, never the page.
      list.current.scrollTop = Math.max(0, row.offsetTop - list.current.clientHeight / 2);
    }
  }, [current]);
  const longest = Math.max(
    0.001,
    ...(data?.cells ?? []).map(cell => Math.max(taken(cell, now) ?? 0, cell.expected_s ?? 0))
  );
  return (
    <Section title={earlier ? trans.__('Cells of attempt %1', run.attempt) : trans.__('Cells')}>
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={4} />}
      {data?.cells.length === 0 && (
        <p className="pj-Facts">
          {ended
            ? trans.__('It is not known when its cells ran.')
            : trans.__('No cell has started yet.')}
        </p>
      )}
      {!!data?.cells.length && (
        <ol
          className="pj-Cells"
          ref={list}
          tabIndex={0}
          aria-label={trans.__('Cells')}
          onKeyDown={moveFocus}
        >
          {data.cells.map(cell => (
            <CellRow
              key={cell.number}
              cell={cell}
              failed={
                run.failed_cell !== null &&
                run.failed_cell !== undefined &&
                cell.index === run.failed_cell
              }
              over={ended}
              now={now}
              longest={longest}
              onLook={onLook}
            />
          ))}
        </ol>
      )}
      {!!data?.left_out && (
        <p className="pj-Facts">{trans.__('%1 further cells are not shown.', data.left_out)}</p>
      )}
    </Section>
  );
}

interface IRowProps {
  cell: CellTime;
  failed: boolean;
  /** Whether the run has ended: what has not begun never will. */
  over: boolean;
  now: number;
  /** Seconds of the longest cell: the whole width. */
  longest: number;
  onLook: (cell: ILooked) => void;
}

function CellRow({ cell, failed, over, now, longest, onLook }: IRowProps): ReactElement {
  const { trans } = usePerijove();
  const { index } = cell;
  const seconds = taken(cell, now);
  const running = seconds !== undefined && !cell.ended_at;
  const expected = cell.expected_s ?? undefined;
  const state = running
    ? 'running'
    : failed
      ? 'failed'
      : seconds === undefined
        ? 'waiting'
        : 'done';
  const words =
    seconds === undefined
      ? expected === undefined
        ? over
          ? trans.__('not run')
          : ''
        : trans.__('about %1', secondsWords(expected, trans))
      : running && expected !== undefined
        ? trans.__('%1 of about %2', secondsWords(seconds, trans), secondsWords(expected, trans))
        : secondsWords(seconds, trans);
  return (
    <li
      className={`pj-Cell pj-mod-${state}`}
      aria-current={running ? 'step' : undefined}
      aria-label={[
        trans.__('Cell %1', cell.number),
        cell.line,
        failed ? trans.__('failed') : '',
        words
      ]
        .filter(Boolean)
        .join(', ')}
    >
      <span className="pj-Cell-number">{cell.number}</span>
      {typeof index === 'number' && cell.started_at ? (
        // By the arrow keys: a long run's cells are not all between the list and what follows it.
        <button
          className="pj-Cell-look"
          data-row
          tabIndex={-1}
          title={trans.__('Show its output: %1', cell.line)}
          onClick={() => onLook({ index })}
        >
          <code>{cell.line}</code>
        </button>
      ) : (
        <code title={cell.line}>{cell.line}</code>
      )}
      <span className="pj-Cell-bar" aria-hidden>
        {expected !== undefined && (
          <span className="pj-Cell-expected" style={{ width: percent(expected, longest) }} />
        )}
        <span className="pj-Cell-taken" style={{ width: percent(seconds ?? 0, longest) }} />
      </span>
      <span className="pj-Cell-words">{words}</span>
    </li>
  );
}

function percent(seconds: number, longest: number): string {
  return `${Math.min(100, (100 * seconds) / longest)}%`;
}

/** Seconds since a cell started; undefined for one that has not. */
function taken(cell: CellTime, now: number): number | undefined {
  if (!cell.started_at) {
    return undefined;
  }
  const until = cell.ended_at ? Date.parse(cell.ended_at) : now;
  return Math.max(0, (until - Date.parse(cell.started_at)) / 1000);
}

/** The present, every second as long as `ticking` and a person can see it. */
function useNow(ticking: boolean): number {
  const visible = useContext(VisibleContext);
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!ticking || !visible) {
      return;
    }
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [ticking, visible]);
  return now;
}
