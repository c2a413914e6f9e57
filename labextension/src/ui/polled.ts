import { Poll } from '@lumino/polling';
import { useCallback, useContext, useEffect, useRef, useState } from 'react';

import { asProblem, PerijoveError, type IProblem } from '../api/requests';
import { VisibleContext } from './context';

/** What is known of something that is read again and again. */
export interface IPolled<T> {
  /** The last answer; stays while the next one is on its way or fails. */
  data?: T;
  /** Why the last try failed, unless it is only `lost`. */
  problem?: IProblem;
  /** When `data` was read, if nobody answers since: it will be read again by itself. */
  lost?: Date;
  /** Whether `data` answers an earlier question, such as other search words. */
  stale: boolean;
  /** Read again now. */
  refresh: () => void;
}

/** What is not there will not come back by asking again. */
const GONE = 404;
/** Nobody answers: no network, no control plane, or a proxy that says so. */
const AWAY = [0, 502, 503, 504];
/** Milliseconds between tries, at most: while nobody answers, and while a try is refused. */
const PATIENCE = { away: 10_000, refused: 60_000 };

interface IOptions<T> {
  /** Milliseconds between reads; a failing one waits longer each time. */
  interval?: number;
  /** Whether an answer is the last one, because nothing will change any more. */
  isLast?: (data: T) => boolean;
}

interface IKnown<T> {
  question?: string;
  data?: T;
  problem?: IProblem;
  /** Whether nobody answered. */
  away?: boolean;
  /** When `data` was read. */
  at?: Date;
}

/**
 * Read something now and every few seconds, as long as a person can see it.
 *
 * @param question - Names what is asked; another question is asked at once.
 * @param read - Asks it.
 */
export function usePolled<T>(
  question: string,
  read: () => Promise<T>,
  { interval = 5000, isLast }: IOptions<T> = {}
): IPolled<T> {
  const visible = useContext(VisibleContext);
  const [known, setKnown] = useState<IKnown<T>>({});
  const [asked, setAsked] = useState(0);
  const latest = useRef({ read, isLast });
  useEffect(() => {
    latest.current = { read, isLast };
  });
  useEffect(() => {
    if (!visible) {
      return;
    }
    let current = true;
    const poll = new Poll({
      name: `perijove:${question}`,
      auto: false,
      frequency: { interval, backoff: true, max: PATIENCE.refused },
      factory: async () => {
        try {
          const data = await latest.current.read();
          if (current) {
            setKnown({ question, data, at: new Date() });
            if (latest.current.isLast?.(data)) {
              void poll.stop();
            }
          }
        } catch (error) {
          const problem = asProblem(error);
          // A mistake in what reads has no status either, and is no lost connection.
          const away = error instanceof PerijoveError && AWAY.includes(problem.status);
          const max = Math.max(interval, away ? PATIENCE.away : PATIENCE.refused);
          poll.frequency = { interval, backoff: true, max };
          if (current) {
            setKnown(before =>
              before.question === question
                ? { ...before, problem, away }
                : { question, problem, away }
            );
          }
          if (problem.status === GONE) {
            void poll.stop();
          }
          throw error;
        }
      }
    });
    void poll.start();
    return () => {
      current = false;
      poll.dispose();
    };
  }, [question, visible, interval, asked]);
  const refresh = useCallback(() => setAsked(count => count + 1), []);
  const lost = known.data !== undefined && known.away ? known.at : undefined;
  return {
    data: known.data,
    problem: lost ? undefined : known.problem,
    lost,
    stale: known.question !== question,
    refresh
  };
}
