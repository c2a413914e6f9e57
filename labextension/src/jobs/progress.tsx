import type { ReactElement } from 'react';

import type { Run } from '../api/types';
import { usePerijove } from '../ui/context';

/** How many of a run's cells are done. */
export function Progress({ run }: { run: Run }): ReactElement {
  const { trans } = usePerijove();
  const { cells_done: done, cells_total: total } = run.progress;
  if (!total) {
    return <span className="pj-Progress-words">–</span>;
  }
  return (
    <span className={`pj-Progress pj-mod-${run.state}`}>
      <progress max={total} value={done} aria-label={trans.__('Progress of %1', run.job)} />
      <span className="pj-Progress-words">{trans.__('%1 of %2', done, total)}</span>
    </span>
  );
}
