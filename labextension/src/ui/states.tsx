import { Button, copyIcon, addBelowIcon, errorIcon } from '@jupyterlab/ui-components';
import type { ReactElement, ReactNode } from 'react';

import type { IProblem } from '../api/requests';
import { usePerijove } from './context';

/** Grey rows where rows will be, of the same height. */
export function Skeleton({ rows = 6 }: { rows?: number }): ReactElement {
  const { trans } = usePerijove();
  return (
    <div className="pj-Skeleton" role="status" aria-label={trans.__('Loading')}>
      {Array.from({ length: rows }, (_, row) => (
        <div className="pj-Skeleton-row" key={row} />
      ))}
    </div>
  );
}

/** Code to paste: into the open notebook, or anywhere. */
export function Snippet({ code }: { code: string }): ReactElement {
  const { actions, trans } = usePerijove();
  return (
    <div className="pj-Snippet">
      <pre tabIndex={0} aria-label={trans.__('Code')}>
        {code}
      </pre>
      <div className="pj-Snippet-actions">
        <Button minimal small onClick={() => actions.insertCell(code)}>
          <addBelowIcon.react tag="span" />
          {trans.__('Insert cell')}
        </Button>
        <Button minimal small onClick={() => actions.copy(code)}>
          <copyIcon.react tag="span" />
          {trans.__('Copy')}
        </Button>
      </div>
    </div>
  );
}

interface IEmptyProps {
  title: string;
  children?: ReactNode;
  /** What to paste to get the first one. */
  code?: string;
}

/** Nothing is here yet, and what to do first. */
export function Empty({ title, children, code }: IEmptyProps): ReactElement {
  return (
    <div className="pj-Empty">
      <h3>{title}</h3>
      {children && <p>{children}</p>}
      {code && <Snippet code={code} />}
    </div>
  );
}

/** What went wrong, how to mend it, and another try. */
export function Failure({
  problem,
  onRetry
}: {
  problem: IProblem;
  onRetry?: () => void;
}): ReactElement {
  const { trans } = usePerijove();
  return (
    <div className="pj-Failure" role="alert">
      <errorIcon.react tag="span" className="pj-Failure-icon" />
      <div>
        <strong>{problem.title}</strong>
        {problem.detail && problem.detail !== problem.title && <p>{problem.detail}</p>}
        {problem.fix && <p className="pj-Failure-fix">{problem.fix}</p>}
        {onRetry && (
          <button className="pj-Button" onClick={onRetry}>
            {trans.__('Try again')}
          </button>
        )}
      </div>
    </div>
  );
}

/** Nobody answers: what is shown is old. It lies over the page, of which nothing moves. */
export function Lost({ since, onRetry }: { since: Date; onRetry: () => void }): ReactElement {
  const { trans } = usePerijove();
  return (
    <div className="pj-Lost">
      <div className="pj-Lost-words" role="status">
        <span>
          {trans.__(
            'Connection lost. This is how it was at %1; it goes on by itself.',
            since.toLocaleTimeString()
          )}
        </span>
        <button className="pj-Button pj-mod-small" onClick={onRetry}>
          {trans.__('Try now')}
        </button>
      </div>
    </div>
  );
}
