import { searchIcon } from '@jupyterlab/ui-components';
import { useEffect, useState, type KeyboardEvent, type ReactElement, type ReactNode } from 'react';

import type { IPage } from '../api/types';
import { usePerijove } from './context';
import type { IPolled } from './polled';
import { Failure, Lost, Skeleton } from './states';

/** Milliseconds after the last key before a search is sent. */
const SETTLE = 250;

/** How many items a list shows first, and how many more at a time. */
export const STEP = 50;
/** The most the API gives at once. */
const MOST = 500;

/** A search field that reports words once typing pauses. */
export function Search({
  label,
  onSearch
}: {
  label: string;
  onSearch: (words: string) => void;
}): ReactElement {
  const [words, setWords] = useState('');
  useEffect(() => {
    const timer = setTimeout(() => onSearch(words.trim()), words ? SETTLE : 0);
    return () => clearTimeout(timer);
  }, [words, onSearch]);
  return (
    <div className="pj-Search">
      <searchIcon.react tag="span" className="pj-Search-icon" />
      <input
        type="search"
        aria-label={label}
        placeholder={label}
        value={words}
        spellCheck={false}
        onChange={event => setWords(event.target.value)}
      />
    </div>
  );
}

/** Move the focus among a list's rows with the arrow keys. */
export function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-row]')];
  const at = rows.findIndex(row => row.contains(document.activeElement));
  const steps: Record<string, number> = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    Home: 0,
    End: rows.length - 1
  };
  const next = steps[event.key];
  // Below the last row there may be more to scroll to, and without rows it is all there is.
  const none = rows.length === 0 || next === rows.length;
  if (next === undefined || none || event.altKey || event.ctrlKey || event.metaKey) {
    return;
  }
  event.preventDefault();
  rows[Math.max(0, Math.min(rows.length - 1, next))]?.focus();
}

interface IRowProps {
  title: string;
  /** Stands at the right of the title. */
  chip?: ReactNode;
  /** A quieter second line. */
  children?: ReactNode;
  /** Small buttons that show on hover and focus. */
  actions?: ReactNode;
  onOpen: () => void;
  expanded?: boolean;
}

/** One thing in a list; Enter or a click opens it. */
export function Row({ title, chip, children, actions, onOpen, expanded }: IRowProps): ReactElement {
  return (
    <li className="pj-Row">
      <button
        className="pj-Row-main"
        data-row
        onClick={onOpen}
        title={title}
        aria-expanded={expanded}
      >
        <span className="pj-Row-line">
          <span className="pj-Row-title">{title}</span>
          {chip}
        </span>
        <span className="pj-Row-line pj-Row-more">{children}</span>
      </button>
      {actions && <span className="pj-Row-actions">{actions}</span>}
    </li>
  );
}

interface IListProps<T> {
  label: string;
  polled: IPolled<IPage<T>>;
  /** How many were asked for. */
  limit: number;
  onMore: (limit: number) => void;
  render: (item: T) => ReactElement;
  /** What stands where there is nothing. */
  empty: ReactElement;
}

/** A list as every tab has it: skeleton, rows, empty and error state. */
export function List<T>({
  label,
  polled,
  limit,
  onMore,
  render,
  empty
}: IListProps<T>): ReactElement {
  const { trans } = usePerijove();
  const { data, lost, problem, refresh, stale } = polled;
  if (!data) {
    return problem ? <Failure problem={problem} onRetry={refresh} /> : <Skeleton />;
  }
  return (
    <>
      {lost && <Lost since={lost} onRetry={refresh} />}
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {data.items.length === 0 ? (
        !problem && empty
      ) : (
        <ul className="pj-List" aria-label={label} aria-busy={stale} onKeyDown={moveFocus}>
          {data.items.map(render)}
        </ul>
      )}
      {data.next_cursor &&
        (limit < MOST ? (
          <button className="pj-Button pj-List-more" onClick={() => onMore(limit + STEP)}>
            {trans.__('Show more')}
          </button>
        ) : (
          <p className="pj-List-more">{trans.__('Search to see the rest.')}</p>
        ))}
    </>
  );
}
