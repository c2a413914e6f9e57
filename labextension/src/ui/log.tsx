import { useEffect, useLayoutEffect, useRef, useState, type ReactElement } from 'react';

import type { LogChunk } from '../api/types';
import { usePerijove } from './context';
import { usePolled } from './polled';
import { Failure, Skeleton } from './states';

/** Characters of a log that are kept on the page. */
const KEPT = 200_000;

/** The end of a workload's log, which grows while it runs. */
export function Log({
  question,
  read
}: {
  /** Names the workload, so that another one starts afresh. */
  question: string;
  read: (offset: number) => Promise<LogChunk>;
}): ReactElement {
  const { trans } = usePerijove();
  const [text, setText] = useState('');
  const offset = useRef(0);
  const view = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  const polled = usePolled(question, () => read(offset.current), {
    interval: 1500,
    isLast: chunk => chunk.ended
  });
  const { data, problem, refresh } = polled;
  useEffect(() => {
    if (data && data.offset === offset.current && data.next_offset > data.offset) {
      offset.current = data.next_offset;
      setText(before => (before + data.text).slice(-KEPT));
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
