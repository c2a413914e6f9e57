import type { ReactElement, ReactNode } from 'react';

import type { IPolled } from './polled';
import { Failure, Skeleton } from './states';

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
          </div>
          <p className="pj-Facts">{props.facts}</p>
        </div>
        <div className="pj-Page-actions">{props.actions}</div>
      </header>
      {props.children}
    </article>
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
  const { data, problem, refresh } = polled;
  if (data === undefined) {
    return (
      <div className="pj-Page">
        {problem ? <Failure problem={problem} onRetry={refresh} /> : <Skeleton rows={8} />}
      </div>
    );
  }
  return (
    <>
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
