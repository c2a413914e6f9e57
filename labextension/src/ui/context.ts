import { createContext, useContext } from 'react';

import type { IPageArgs, IPerijove } from '../tokens';

/** Perijove, for every leaf below a widget. */
export const PerijoveContext = createContext<IPerijove | null>(null);

/** Whether a person can see the leaf; nothing polls while they cannot. */
export const VisibleContext = createContext(false);

/** The page in whose frame a leaf is, and what gives its tab a name where it has none yet. */
export const PageContext = createContext<{ page: IPageArgs; name: (title: string) => void } | null>(
  null
);

/** Return Perijove; every widget provides it. */
export function usePerijove(): IPerijove {
  const perijove = useContext(PerijoveContext);
  if (!perijove) {
    throw new Error('usePerijove() outside a Perijove widget');
  }
  return perijove;
}
