import type { ReactElement } from 'react';

import type { Principal } from '../api/types';
import { whoami } from '../jobs/requests';
import { usePerijove } from '../ui/context';
import { Loaded } from '../ui/page';
import { usePolled } from '../ui/polled';

/** Show what depends on who looks at it, once that is known; it is asked for once. */
export function Caller({
  children
}: {
  children: (caller: Principal) => ReactElement;
}): ReactElement {
  const { api } = usePerijove();
  const caller = usePolled('whoami', () => whoami(api), { isLast: () => true });
  return <Loaded polled={caller}>{children}</Loaded>;
}
