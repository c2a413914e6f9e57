import type { ReactElement } from 'react';

import type { RunState } from '../api/types';
import { stateWord } from '../ui/chip';
import { usePerijove } from '../ui/context';

const STATES: RunState[] = ['failed', 'running', 'queued', 'succeeded', 'lost', 'cancelled'];

/** Choose one state, or all. */
export function StateFilter({
  label,
  value,
  onChange
}: {
  label: string;
  value: RunState | null;
  onChange: (state: RunState | null) => void;
}): ReactElement {
  const { trans } = usePerijove();
  return (
    <select
      className="pj-Input pj-mod-short"
      aria-label={label}
      value={value ?? ''}
      onChange={({ target }) => onChange((target.value || null) as RunState | null)}
    >
      <option value="">{trans.__('All states')}</option>
      {STATES.map(state => (
        <option key={state} value={state}>
          {stateWord(state, trans)}
        </option>
      ))}
    </select>
  );
}
