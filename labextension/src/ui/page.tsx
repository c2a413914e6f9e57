import { linkIcon } from '@jupyterlab/ui-components';
import { useContext, useEffect, type ReactElement, type ReactNode } from 'react';

import { linkTo } from '../links';
import { PageContext, usePerijove } from './context';
import { IconButton } from './iconButton';
import type { IPolled } from './polled';
import { Failure, Lost, Skeleton } from './states';

interface IFrameProps {
  kind: string;
  title: string;
  chip?: ReactNode;
  /** Owner, times and the like. */
  facts?: ReactNode;
  /** Secondary actions, then the primary one at the right. */
  actions?: ReactNode;
  children: ReactNode;
}

/** The frame of every thing's own page: title, state, owner, actions, content. */
export function PageFrame(props: IFrameProps): ReactElement {
  return (
    <article className="pj-Page" aria-label={props.title}>
      <header className="pj-Page-header">
        <div className="pj-Page-heading">
          <span className="pj-Page-kind">{props.kind}</span>
          <div className="pj-Page-title">
            <h1>{props.title}</h1>
            {props.chip}
            <CopyLink title={props.title} />
          </div>
          <p className="pj-Facts">{props.facts}</p>
        </div>
        <div className="pj-Page-actions">{props.actions}</div>
      </header>
      {props.children}
    </article>
  );
}

/** Copies an address by which colleagues open the page, if they may see it. */
function CopyLink({ title }: { title: string }): ReactElement | null {
  const { actions, trans } = usePerijove();
  const frame = useContext(PageContext);
  useEffect(() => {
    if (frame && !frame.page.title) {
      frame.name(title);
    }
  }, [frame, title]);
  return (
    frame && (
      <IconButton
        icon={linkIcon}
        label={trans.__('Copy a link to this page')}
        onClick={() => actions.copy(linkTo(frame.page))}
      />
    )
  );
}

/** Show a thing once it is known; until then a skeleton, or why not. */
export function Loaded<T>({
  polled,
  children
}: {
  polled: IPolled<T>;
  children: (data: T) => ReactElement;
}): ReactElement {
  const { data, lost, problem, refresh } = polled;
  if (data === undefined) {
    return (
      <div className="pj-Page">
        {problem ? <Failure problem={problem} onRetry={refresh} /> : <Skeleton rows={8} />}
      </div>
    );
  }
  return (
    <>
      {lost && <Lost since={lost} onRetry={refresh} />}
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {children(data)}
    </>
  );
}

/** A part of a page under its own heading. */
export function Section({
  title,
  actions,
  children
}: {
  title: string;
  actions?: ReactNode;
  children: ReactNode;
}): ReactElement {
  return (
    <section className="pj-Section" aria-label={title}>
      <div className="pj-Section-header">
        <h2>{title}</h2>
        {actions}
      </div>
      {children}
    </section>
  );
}

/** Names and values. */
export function Facts({ facts }: { facts: [string, ReactNode][] }): ReactElement {
  return (
    <dl className="pj-FactList">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
