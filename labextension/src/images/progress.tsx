import type { ReactElement } from 'react';

import type { Build } from '../api/types';
import { usePerijove } from '../ui/context';
import { hasEnded } from './standing';

/** Which of its steps a build is at. */
export function Progress({ build }: { build: Build }): ReactElement {
  const { trans } = usePerijove();
  const { step, steps, state } = build;
  if (!steps) {
    return (
      <span className="pj-Progress-words">
        {hasEnded(build) ? trans.__('did not begin') : trans.__('waits for its turn')}
      </span>
    );
  }
  // The step it is at is not done yet.
  const done = state === 'succeeded' ? steps : Math.max(0, step - 1);
  return (
    <span className={`pj-Progress pj-mod-${state}`}>
      <progress
        max={steps}
        value={done}
        aria-label={trans.__('Progress of %1@%2', build.image, build.version)}
      />
      <span className="pj-Progress-words">
        {state === 'succeeded'
          ? trans._n('%1 step', '%1 steps', steps)
          : trans.__('step %1 of %2: %3', step, steps, build.step_name)}
      </span>
    </span>
  );
}
