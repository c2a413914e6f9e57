import type { ReactElement } from 'react';

import { usePerijove } from '../ui/context';

/** Words that lead to a run's page. */
export function RunLink({
  id,
  job,
  text
}: {
  id: string;
  job: string;
  text: string;
}): ReactElement {
  const { actions, trans } = usePerijove();
  return (
    <button
      className="pj-Link"
      onClick={() => actions.open({ kind: 'run', id, title: `${job} · ${trans.__('run')}` })}
    >
      {text}
    </button>
  );
}
