import { copyIcon } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import { usePerijove } from './context';
import { IconButton } from './iconButton';

/** Characters of a digest that tell versions apart. */
const SHORT = 12;

/** The beginning of a digest, and a button that copies all of it. */
export function Digest({ digest }: { digest?: string | null }): ReactElement {
  const { actions, trans } = usePerijove();
  if (!digest) {
    return <>–</>;
  }
  return (
    <span className="pj-Digest">
      <code title={digest}>{digest.replace('sha256:', '').slice(0, SHORT)}</code>
      <IconButton
        icon={copyIcon}
        label={trans.__('Copy the digest')}
        onClick={() => actions.copy(digest)}
      />
    </span>
  );
}
