import { createContext, useContext } from 'react';

import type { IPerijove } from '../tokens';

/** Perijove, for every leaf below a widget. */
export const PerijoveContext = createContext<IPerijove | null>(null);

/** Whether a person can see the leaf; nothing polls while they cannot. */
export const VisibleContext = createContext(false);

/** Return Perijove; every widget provides it. */
export function usePerijove(): IPerijove {
  const perijove = useContext(PerijoveContext);
  if (!perijove) {
    throw new Error('usePerijove() outside a Perijove widget');
  }
  return perijove;
}
