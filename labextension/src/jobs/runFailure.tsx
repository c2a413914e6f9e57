import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { Run, RunFailure } from '../api/types';
import { usePerijove } from '../ui/context';
import { usePolled } from '../ui/polled';
import { Failure, Skeleton } from '../ui/states';
import { getFailure } from './watching';

/** Why a run did not succeed: cause, cell, traceback and what to know of its memory. */
export function FailureBox({
  run,
  earlier = false
}: {
  run: Run;
  /** Whether it is an earlier attempt of the run. */
  earlier?: boolean;
}): ReactElement {
  const { api, trans } = usePerijove();
  const { data, problem, refresh } = usePolled(
    `run/${run.id}/failure/${run.attempt}`,
    () => getFailure(api, run),
    { isLast: () => true }
  );
  return (
    <section
      className={`pj-Reason pj-RunFailure pj-mod-${run.state}`}
      aria-label={
        earlier
          ? trans.__('Why attempt %1 did not succeed', run.attempt)
          : trans.__('Why it did not succeed')
      }
    >
      <h2>{causeWords(run, trans)}</h2>
      {run.reason && <p role="status">{run.reason}</p>}
      {!!run.peak_memory_mb && (
        <p className="pj-Facts">{trans.__('Peak memory %1 MiB', Math.round(run.peak_memory_mb))}</p>
      )}
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={2} />}
      {data && <Where failure={data} />}
    </section>
  );
}

function Where({ failure }: { failure: RunFailure }): ReactElement {
  const { trans } = usePerijove();
  return (
    <>
      {failure.source.length > 0 && (
        <pre
          className="pj-Source"
          tabIndex={0}
          aria-label={trans.__('Cell %1', (failure.cell ?? 0) + 1)}
        >
          {failure.source.map((line, at) => {
            const number = failure.first_line + at;
            const raised = number === failure.line;
            return (
              <div key={number} className={raised ? 'pj-mod-raised' : ''}>
                <span className="pj-Source-number" aria-hidden>
                  {number}
                </span>
                {line || ' '}
                {raised && <span className="pj-Hidden">{trans.__(' (this line raised)')}</span>}
              </div>
            );
          })}
        </pre>
      )}
      {failure.traceback && (
        <details>
          <summary>{trans.__('Traceback')}</summary>
          <pre className="pj-Log" tabIndex={0} aria-label={trans.__('Traceback')}>
            {failure.traceback}
          </pre>
        </details>
      )}
      {failure.left_out.length > 0 && (
        <p className="pj-Facts">
          {trans.__('Not shown:')} {failure.left_out.join(' ')}
        </p>
      )}
    </>
  );
}

/** A cause in a few words. */
export function causeWords(run: Run, trans: TranslationBundle): string {
  const words: Record<NonNullable<Run['cause']>, string> = {
    bad_input: trans.__('Its notebook or parameters cannot be used'),
    cancelled: trans.__('Cancelled'),
    cell_error: trans.__('A cell raised an error'),
    cell_timeout: trans.__('A cell ran too long'),
    disk: trans.__('It used too much disk'),
    internal: trans.__('The runner itself failed'),
    kernel_died: trans.__('The kernel died'),
    lost: trans.__('Its process vanished'),
    memory: trans.__('It used too much memory'),
    no_kernel: trans.__('Its kernel did not start'),
    refused: trans.__('It was not started'),
    timeout: trans.__('It ran too long')
  };
  return run.cause ? words[run.cause] : trans.__('It did not succeed');
}
