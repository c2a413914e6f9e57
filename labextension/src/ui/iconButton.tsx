import type { LabIcon } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

/** A small button that is an icon. */
export function IconButton({
  icon,
  label,
  onClick
}: {
  icon: LabIcon;
  label: string;
  onClick: () => void;
}): ReactElement {
  return (
    <button
      className="pj-IconButton"
      aria-label={label}
      title={label}
      onClick={event => {
        event.stopPropagation();
        onClick();
      }}
    >
      <icon.react tag="span" />
    </button>
  );
}
