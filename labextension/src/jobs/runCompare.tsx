import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type {
  CellDifference,
  Comparison,
  NumberDifference,
  Run,
  ValueDifference
} from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Moment, secondsWords } from '../ui/moment';
import { Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { openComparison } from './compareForm';
import { hasEnded } from './runState';
import { compareRuns } from './watching';

/** What differs between two runs: values, code, outputs, metrics. `id` is both their ids. */
export function ComparisonPage({ id }: { id: string }): ReactElement {
  const { api } = usePerijove();
  const [one = '', other = ''] = id.split(':');
  const compared = usePolled(`compare/${id}`, () => compareRuns(api, one, other), {
    isLast: data => hasEnded(data.one) && hasEnded(data.other)
  });
  return <Loaded polled={compared}>{data => <ComparisonDetail comparison={data} />}</Loaded>;
}

function ComparisonDetail({ comparison }: { comparison: Comparison }): ReactElement {
  const perijove = usePerijove();
  const { actions, trans } = perijove;
  const { one, other } = comparison;
  const open = (run: Run): void =>
    actions.open({ kind: 'run', id: run.id, title: `${run.job} · ${trans.__('run')}` });
  return (
    <PageFrame
      kind={trans.__('Comparison')}
      title={one.job === other.job ? one.job : `${one.job} · ${other.job}`}
      facts={trans.__('What changed from the first run to the second.')}
      actions={
        <>
          <button className="pj-Button" onClick={() => openComparison(perijove, other, one)}>
            {trans.__('Swap')}
          </button>
          <button className="pj-Button" onClick={() => open(one)}>
            {trans.__('Show first')}
          </button>
          <button className="pj-Button" onClick={() => open(other)}>
            {trans.__('Show second')}
          </button>
        </>
      }
    >
      <Values comparison={comparison} />
      <Cells comparison={comparison} />
      {comparison.left_out.length > 0 && (
        <Section title={trans.__('Not compared')}>
          <ul className="pj-Facts">
            {comparison.left_out.map(line => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </Section>
      )}
    </PageFrame>
  );
}

/** One line of the table of values. */
interface ILine {
  name: string;
  one: ReactElement | string;
  other: ReactElement | string;
  difference?: string;
  same: boolean;
}

function Values({ comparison }: { comparison: Comparison }): ReactElement {
  const { trans } = usePerijove();
  const { one, other } = comparison;
  const groups: [string, ILine[]][] = [
    [
      trans.__('Run'),
      [
        {
          name: trans.__('State'),
          one: <Chip state={one.state} />,
          other: <Chip state={other.state} />,
          same: one.state === other.state
        },
        {
          name: trans.__('Queued'),
          one: <Moment at={one.queued_at} />,
          other: <Moment at={other.queued_at} />,
          same: true
        },
        ...comparison.measures.map(found => measured(found, trans))
      ]
    ],
    [trans.__('Parameters'), comparison.parameters.map(valued)],
    [trans.__('Metrics'), comparison.metrics.map(numbered)],
    [
      trans.__('Environment'),
      comparison.environment
        .filter(({ name, same }) => name !== 'job' || !same)
        .filter(({ one: first, other: second }) => first !== null || second !== null)
        .map(found => ({ ...valued(found), name: environmentWord(found.name, trans) }))
    ],
    [trans.__('Input files'), comparison.inputs.map(hashed)],
    [trans.__('Files left'), comparison.artifacts.map(hashed)]
  ];
  const label = trans.__('Values of both runs');
  return (
    <div className="pj-Table pj-Compared" tabIndex={0} role="region" aria-label={label}>
      <table aria-label={label}>
        <thead>
          <tr>
            <th scope="col">{trans.__('Value')}</th>
            <th scope="col">{trans.__('First')}</th>
            <th scope="col">{trans.__('Second')}</th>
            <th scope="col" className="pj-mod-numeric">
              {trans.__('Difference')}
            </th>
          </tr>
        </thead>
        {groups
          .filter(([, lines]) => lines.length > 0)
          .map(([title, lines]) => (
            <tbody key={title}>
              <tr>
                <th scope="rowgroup" colSpan={4}>
                  {title}
                </th>
              </tr>
              {lines.map(line => (
                <tr key={line.name} className={line.same ? '' : 'pj-mod-differs'}>
                  <th scope="row">{line.name}</th>
                  <td>{line.one}</td>
                  <td>{line.other}</td>
                  <td className="pj-mod-numeric">
                    {line.difference ?? (line.same ? '' : trans.__('differs'))}
                  </td>
                </tr>
              ))}
            </tbody>
          ))}
      </table>
    </div>
  );
}

function Cells({ comparison }: { comparison: Comparison }): ReactElement {
  const { trans } = usePerijove();
  const { cells, cells_same: same } = comparison;
  return (
    <Section title={trans.__('Cells')}>
      <p className="pj-Facts">
        {[
          cells.length > 0
            ? trans._n('%1 cell differs', '%1 cells differ', cells.length)
            : trans.__('No cell differs'),
          trans._n('%1 is the same', '%1 are the same', same)
        ].join(' · ')}
      </p>
      {cells.map(cell => (
        <Cell key={`${cell.one}:${cell.other}`} cell={cell} />
      ))}
    </Section>
  );
}

function Cell({ cell }: { cell: CellDifference }): ReactElement {
  const { trans } = usePerijove();
  return (
    <section className="pj-RunDiff" aria-label={cellWords(cell, trans)}>
      <h3>
        {cellWords(cell, trans)} <code>{cell.line}</code>
      </h3>
      {cell.diff.length > 0 && (
        <pre className="pj-RunDiff-code" tabIndex={0} aria-label={trans.__('Code that differs')}>
          {cell.diff.map((line, at) => (
            <div key={at} className={DIFF_CLASS[line[0] ?? ' '] ?? ''}>
              {line === '@@' ? '⋯' : line}
            </div>
          ))}
        </pre>
      )}
      {cell.outputs_differ && (
        <div className="pj-RunDiff-outputs">
          <Output title={trans.__('Output of the first')} text={cell.output_one} />
          <Output title={trans.__('Output of the second')} text={cell.output_other} />
        </div>
      )}
    </section>
  );
}

const DIFF_CLASS: Record<string, string> = {
  '+': 'pj-mod-added',
  '-': 'pj-mod-removed',
  '@': 'pj-mod-gap'
};

function Output({ title, text }: { title: string; text: string }): ReactElement {
  const { trans } = usePerijove();
  return (
    <div>
      <h4>{title}</h4>
      <pre className="pj-Log" tabIndex={0} aria-label={title}>
        {text || trans.__('nothing')}
      </pre>
    </div>
  );
}

function cellWords(cell: CellDifference, trans: TranslationBundle): string {
  const { one, other } = cell;
  if (one === null || one === undefined) {
    return trans.__('Cell %1 is new', (other ?? 0) + 1);
  }
  if (other === null || other === undefined) {
    return trans.__('Cell %1 is gone', one + 1);
  }
  return cell.diff.length > 0
    ? trans.__('Cell %1 has other code', other + 1)
    : trans.__('Cell %1 shows something else', other + 1);
}

function valued({ name, one, other, same }: ValueDifference): ILine {
  return { name, one: shown(one), other: shown(other), same };
}

function hashed({ name, one, other, same }: ValueDifference): ILine {
  return { name, one: short(one), other: short(other), same };
}

function numbered({ name, one, other, difference }: NumberDifference): ILine {
  return {
    name,
    one: figure(one),
    other: figure(other),
    difference: difference ? signed(difference, figure(Math.abs(difference))) : undefined,
    same: one === other
  };
}

function measured(found: NumberDifference, trans: TranslationBundle): ILine {
  const { name, difference } = found;
  const words =
    name === 'seconds'
      ? (value: number) => secondsWords(value, trans)
      : (value: number) => trans.__('%1 MiB', Math.round(value));
  const side = (value?: number | null): string =>
    value === null || value === undefined ? '–' : words(value);
  return {
    name: name === 'seconds' ? trans.__('Took') : trans.__('Peak memory'),
    one: side(found.one),
    other: side(found.other),
    difference:
      difference && side(found.one) !== side(found.other)
        ? signed(difference, words(Math.abs(difference)))
        : undefined,
    // No two runs take exactly as long: that alone is nothing to look at.
    same: true
  };
}

function environmentWord(name: string, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    image: trans.__('Image'),
    image_digest: trans.__('Digest of the image'),
    job: trans.__('Job'),
    version: trans.__('Version')
  };
  return words[name] ?? name;
}

function signed(difference: number, text: string): string {
  return `${difference > 0 ? '+' : '−'}${text}`;
}

function figure(value?: number | null): string {
  return value === null || value === undefined ? '–' : String(Number(value.toPrecision(6)));
}

function shown(value: unknown): ReactElement | string {
  return value === undefined || value === null ? '–' : <code>{JSON.stringify(value)}</code>;
}

function short(value: unknown): ReactElement | string {
  return typeof value === 'string' ? <code title={value}>{value.slice(0, 12)}</code> : '–';
}
