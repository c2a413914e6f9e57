import { downloadIcon, refreshIcon } from '@jupyterlab/ui-components';
import { useEffect, useRef, useState, type ReactElement } from 'react';

import type { Run } from '../api/types';
import { usePerijove } from '../ui/context';
import { Section } from '../ui/page';
import { hasEnded } from './runState';

/** A cell whose output somebody asked for; a new one each time. */
export interface ILooked {
  /** Among all cells of the output notebook, from 0. */
  index: number;
}

/** A run's output notebook; of one that runs, as it was saved last, when somebody asks for it. */
export function Output({
  run,
  earlier = false,
  looked
}: {
  run: Run;
  /** Whether it is an earlier attempt of the run. */
  earlier?: boolean;
  looked?: ILooked;
}): ReactElement | null {
  const { api, trans } = usePerijove();
  const [asked, setAsked] = useState(0);
  const ended = hasEnded(run);
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (looked) {
      // Of one that runs, as it is now.
      setAsked(times => times + 1);
      place.current?.scrollIntoView();
    }
  }, [looked]);
  if (ended ? !run.has_output : !run.started_at) {
    return null;
  }
  const query = earlier ? `?attempt=${run.attempt}` : '';
  const title = earlier
    ? trans.__('Output notebook of attempt %1', run.attempt)
    : ended
      ? trans.__('Output notebook')
      : trans.__('Output notebook so far');
  const cell = looked ? `#cell-id=cell-${looked.index}` : '';
  return (
    <div ref={place}>
      <Section
        title={title}
        actions={
          ended ? (
            <a
              className="pj-Button pj-mod-small"
              href={api.url('runs', run.id, 'notebook') + query}
              download={`${run.job}.ipynb`}
            >
              <downloadIcon.react tag="span" />
              {trans.__('Download')}
            </a>
          ) : (
            <button className="pj-Button pj-mod-small" onClick={() => setAsked(asked + 1)}>
              <refreshIcon.react tag="span" />
              {asked ? trans.__('Show as it is now') : trans.__('Show')}
            </button>
          )
        }
      >
        {!ended && (
          <p className="pj-Facts">{trans.__('Cells that have not run yet show no output.')}</p>
        )}
        {(ended || asked > 0) && (
          // What others wrote: no scripts, no origin, no cookies.
          <iframe
            key={ended ? `ended${query}` : asked}
            className="pj-Notebook"
            sandbox=""
            referrerPolicy="no-referrer"
            loading="lazy"
            title={trans.__('Output notebook of %1', run.job)}
            src={api.url('runs', run.id, 'notebook.html') + query + cell}
          />
        )}
      </Section>
    </div>
  );
}
