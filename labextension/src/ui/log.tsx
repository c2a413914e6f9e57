import { useEffect, useLayoutEffect, useRef, useState, type ReactElement } from 'react';

import type { LogChunk } from '../api/types';
import { usePerijove } from './context';
import { usePolled } from './polled';
import { Failure, Skeleton } from './states';

/** Characters of a log that are kept on the page; more while somebody reads further up. */
const KEPT = 200_000;
const KEPT_MEANWHILE = 2_000_000;
/** Bytes of a piece after which the next one is read at once. */
const LARGE = 128 * 1024;
/** Pieces that are read one after the other, at most. */
const PIECES = 64;

/** The end of a workload's log, which grows while it runs. */
export function Log({
  question,
  read,
  whole
}: {
  /** Names the workload, so that another one starts afresh. */
  question: string;
  read: (offset: number) => Promise<LogChunk>;
  /** The command that prints all of it. */
  whole?: string;
}): ReactElement {
  const { trans } = usePerijove();
  const [{ text, cut }, setText] = useState({ text: '', cut: false });
  const offset = useRef(0);
  const view = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  const closed = useRef(false);
  useEffect(() => {
    closed.current = false;
    return () => {
      closed.current = true;
    };
  }, []);
  const polled = usePolled(question, () => readOn(read, offset.current, closed), {
    interval: 1500,
    isLast: chunk => chunk.ended
  });
  const { data, problem, refresh } = polled;
  useEffect(() => {
    if (data && data.offset === offset.current && data.next_offset > data.offset) {
      offset.current = data.next_offset;
      // Lines that somebody reads stay where they are.
      const most = atEnd.current ? KEPT : KEPT_MEANWHILE;
      setText(before => ended(before, data.text, most));
    }
  }, [data]);
  useLayoutEffect(() => {
    if (view.current && atEnd.current) {
      view.current.scrollTop = view.current.scrollHeight;
    }
  }, [text]);
  if (!data) {
    return problem ? <Failure problem={problem} onRetry={refresh} /> : <Skeleton rows={3} />;
  }
  return (
    <>
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {cut && (
        <p className="pj-Facts">
          {trans.__('Only the end is shown here.')}
          {whole && (
            <>
              {' '}
              {trans.__('All of it:')} <code>{whole}</code>
            </>
          )}
        </p>
      )}
      <pre
        className="pj-Log"
        ref={view}
        tabIndex={0}
        aria-label={trans.__('Log')}
        onScroll={({ currentTarget: pre }) => {
          atEnd.current = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
        }}
      >
        {text || (data.ended ? trans.__('It wrote nothing.') : trans.__('Nothing written yet.'))}
      </pre>
    </>
  );
}

/**
 * Read a log to its end, or far enough for one time: a long one would else come bit by bit.
 *
 * @param closed - Becomes true when nobody looks at it any more.
 */
async function readOn(
  read: (offset: number) => Promise<LogChunk>,
  from: number,
  closed: { readonly current: boolean }
): Promise<LogChunk> {
  let piece = await read(from);
  let { text } = piece;
  for (let count = 1; count < PIECES && !piece.ended && !closed.current; count++) {
    if (piece.next_offset - piece.offset < LARGE) {
      break;
    }
    try {
      piece = await read(piece.next_offset);
    } catch {
      // What came so far is worth showing; the next time goes on from there, or says why not.
      break;
    }
    text = (text + piece.text).slice(-KEPT_MEANWHILE);
  }
  return { ...piece, text, offset: from };
}

/** Add to a log and keep its end, from the beginning of a line on where there is one. */
function ended(
  before: { text: string; cut: boolean },
  more: string,
  most: number
): { text: string; cut: boolean } {
  const text = before.text + more;
  if (text.length <= most) {
    return { text, cut: before.cut };
  }
  const kept = text.slice(-most);
  return { text: kept.slice(kept.slice(0, 1000).indexOf('\n') + 1), cut: true };
}
