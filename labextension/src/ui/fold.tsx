import { useState, type ReactElement, type ReactNode } from 'react';

import type { IProblem } from '../api/requests';
import { isAt } from './form';

/** A part of a form that is closed until somebody, or a problem in it, opens it. */
export function Fold({
  title,
  note,
  names,
  problem,
  children
}: {
  title: string;
  /** What is chosen inside, in a few words. */
  note?: string;
  /** The fields inside. */
  names: string[];
  problem?: IProblem;
  children: ReactNode;
}): ReactElement {
  const [open, setOpen] = useState(false);
  const [told, setTold] = useState<IProblem>();
  if (problem !== told) {
    setTold(problem);
    if (names.some(name => isAt(problem, name))) {
      setOpen(true);
    }
  }
  return (
    <details
      className="pj-Fold"
      open={open}
      onToggle={({ currentTarget }) => setOpen(currentTarget.open)}
    >
      <summary>
        <span className="pj-Fold-title">{title}</span>
        {note && <span className="pj-Fold-note">{note}</span>}
      </summary>
      <div className="pj-Fold-content">{children}</div>
    </details>
  );
}
