import type { ReactElement, ReactNode } from 'react';

import type { CellChange, Job, VersionDiff } from '../api/types';
import { usePerijove } from '../ui/context';
import { Facts, Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { bytesWords } from '../ui/size';
import { Empty } from '../ui/states';
import { DataTable } from '../ui/table';
import { diffVersions, getJob } from './requests';

/**
 * What differs between two versions of a job.
 *
 * @param id - `JOB/BEFORE/AFTER`: the job's id and the numbers of two versions.
 */
export function DiffPage({ id }: { id: string }): ReactElement {
  const { api } = usePerijove();
  const [job = '', before = '', after = ''] = id.split('/');
  const read = async (): Promise<[Job, VersionDiff]> =>
    Promise.all([getJob(api, job), diffVersions(api, job, Number(before), Number(after))]);
  // Versions never change, so neither does what differs.
  const polled = usePolled(`diff/${id}`, read, { isLast: () => true });
  return <Loaded polled={polled}>{([found, diff]) => <Diff job={found} diff={diff} />}</Loaded>;
}

function Diff({ job, diff }: { job: Job; diff: VersionDiff }): ReactElement {
  const { actions, trans } = usePerijove();
  const { before, after, cells, parameters, inputs, image } = diff;
  const counts = ['added', 'removed', 'changed', 'moved'] as const;
  const words = {
    added: (n: number) => trans._n('%1 cell added', '%1 cells added', n),
    removed: (n: number) => trans._n('%1 removed', '%1 removed', n),
    changed: (n: number) => trans._n('%1 changed', '%1 changed', n),
    moved: (n: number) => trans._n('%1 moved', '%1 moved', n)
  };
  const summary = counts
    .map(change => [change, cells.filter(cell => cell.change === change).length] as const)
    .filter(([, count]) => count > 0)
    .map(([change, count]) => words[change](count));
  return (
    <PageFrame
      kind={trans.__('Versions of a job')}
      title={trans.__('%1: from version %2 to %3', job.name, before, after)}
      facts={
        diff.same
          ? trans.__('the same notebook, files, parameters and image')
          : summary.join(' · ') || trans.__('the same cells')
      }
      actions={
        <button
          className="pj-Button"
          onClick={() => actions.open({ kind: 'job', id: job.id, title: job.name })}
        >
          {trans.__('Show job')}
        </button>
      }
    >
      {diff.same && (
        <Empty title={trans.__('Nothing differs')}>
          {trans.__('Both versions run the same: their digests are equal.')}
        </Empty>
      )}
      {image && (
        <Facts
          facts={[
            [trans.__('Image of version %1', before), image.before ?? trans.__("the platform's")],
            [trans.__('Image of version %1', after), image.after ?? trans.__("the platform's")]
          ]}
        />
      )}
      {parameters.length > 0 && (
        <Section title={trans.__('Parameters')}>
          <Changes
            label={trans.__('Parameters')}
            rows={parameters.map(({ name, before: old, after: now }) => ({
              name,
              old: old && declaration(old),
              now: now && declaration(now)
            }))}
            versions={[before, after]}
          />
        </Section>
      )}
      {inputs.length > 0 && (
        <Section title={trans.__('Files')}>
          <Changes
            label={trans.__('Files')}
            rows={inputs.map(({ path, before: old, after: now }) => ({
              name: path,
              old: old && `${bytesWords(old.bytes)} · ${old.sha256.slice(0, 8)}`,
              now: now && `${bytesWords(now.bytes)} · ${now.sha256.slice(0, 8)}`
            }))}
            versions={[before, after]}
          />
        </Section>
      )}
      {(cells.length > 0 || diff.metadata) && (
        <Section title={trans.__('Cells')}>
          {diff.metadata && (
            <p className="pj-Facts">
              {trans.__("The notebook's own metadata differ too, such as its kernel.")}
            </p>
          )}
          {cells.map((cell, number) => (
            <Cell key={number} cell={cell} />
          ))}
          {diff.cut && (
            <p className="pj-Warning">
              {trans.__('Some lines are left out: there are too many to show.')}
            </p>
          )}
        </Section>
      )}
    </PageFrame>
  );
}

function Cell({ cell }: { cell: CellChange }): ReactElement {
  const { trans } = usePerijove();
  const { change, cell_type: type, before, after, lines, metadata } = cell;
  const number = (after ?? before ?? 0) + 1;
  const words: Record<string, string> = {
    added: trans.__('added'),
    removed: trans.__('removed'),
    changed: trans.__('changed'),
    moved: trans.__('moved')
  };
  const where =
    change === 'removed'
      ? trans.__('cell %1 before', number)
      : change === 'moved' && before !== null && before !== undefined
        ? trans.__('cell %1, before cell %2', number, before + 1)
        : trans.__('cell %1', number);
  return (
    <div
      className={`pj-CellDiff pj-mod-${change}`}
      role="group"
      aria-label={`${where} ${words[change]}`}
    >
      <div className="pj-CellDiff-header">
        <span className="pj-CellDiff-change">{words[change]}</span>
        <span>{where}</span>
        {type !== 'code' && <span className="pj-CellDiff-type">{type}</span>}
        {metadata && (
          <span className="pj-CellDiff-type">{trans.__('tags or metadata differ')}</span>
        )}
      </div>
      {lines.length > 0 && (
        <pre className="pj-CellDiff-lines" tabIndex={0} aria-label={trans.__('Lines of %1', where)}>
          {lines.map((line, at) => (
            <Line key={at} line={line} />
          ))}
        </pre>
      )}
    </div>
  );
}

function Line({ line }: { line: string }): ReactElement {
  const mark = line.charAt(0);
  if (mark === '@') {
    return <span className="pj-CellDiff-line pj-mod-gap">⋯</span>;
  }
  const inside: ReactNode = (
    <>
      <span className="pj-CellDiff-mark">{mark}</span>
      {line.slice(1) || ' '}
    </>
  );
  switch (mark) {
    case '+':
      return <ins className="pj-CellDiff-line">{inside}</ins>;
    case '-':
      return <del className="pj-CellDiff-line">{inside}</del>;
    default:
      return <span className="pj-CellDiff-line">{inside}</span>;
  }
}

interface IChangeRow {
  name: string;
  old?: string | null;
  now?: string | null;
}

/** A table of names with what they were and what they are. */
function Changes({
  label,
  rows,
  versions: [before, after]
}: {
  label: string;
  rows: IChangeRow[];
  versions: [number, number];
}): ReactElement {
  const { trans } = usePerijove();
  const cell = (text: string | null | undefined): ReactElement =>
    text ? (
      <code title={text}>{text}</code>
    ) : (
      <span className="pj-Null">{trans.__('not there')}</span>
    );
  return (
    <DataTable
      label={label}
      rows={rows}
      rowKey={({ name }) => name}
      columns={[
        { name: trans.__('Name'), cell: ({ name }) => <code>{name}</code> },
        { name: trans.__('Version %1', before), cell: ({ old }) => cell(old) },
        { name: trans.__('Version %1', after), cell: ({ now }) => cell(now) }
      ]}
    />
  );
}

/** Write a parameter as its cell does. */
function declaration({
  type,
  nullable,
  required,
  choices,
  default: usual
}: Job['latest']['parameters'][number]): string {
  const kind = type === 'choice' ? choices.map(one => JSON.stringify(one)).join(' | ') : type;
  const whole = nullable ? `${kind} | None` : kind;
  return required ? whole : `${whole} = ${usual === null ? 'None' : JSON.stringify(usual)}`;
}
