import { useMemo, type ReactElement } from 'react';

import type { Column, Dataset, Table } from '../api/types';
import { RelatedRuns } from '../jobs/relatedRuns';
import { usePerijove } from '../ui/context';
import { Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure, Skeleton, Snippet } from '../ui/states';
import { DataTable, type IColumn } from '../ui/table';
import { getDataset, PREVIEW_ROWS, previewDataset } from './requests';

/** A table's own page: its first rows, its columns, and the cell that reads it. */
export function DatasetPage({ name }: { name: string }): ReactElement {
  const { api } = usePerijove();
  const dataset = usePolled(`dataset/${name}`, () => getDataset(api, name), {
    isLast: () => true
  });
  return <Loaded polled={dataset}>{data => <Described dataset={data} />}</Loaded>;
}

function Described({ dataset }: { dataset: Dataset }): ReactElement {
  const { actions, trans } = usePerijove();
  const rows = dataset.row_count;
  return (
    <PageFrame
      kind={dataset.kind}
      title={dataset.name}
      facts={[
        typeof rows === 'number' && trans._n('%2 row', '%2 rows', rows, rows.toLocaleString()),
        trans._n('%1 column', '%1 columns', dataset.column_count),
        dataset.comment
      ]
        .filter(Boolean)
        .join(' · ')}
      actions={
        <button
          className="pj-Button pj-mod-primary"
          onClick={() => actions.insertCell(dataset.snippet)}
        >
          {trans.__('Insert cell')}
        </button>
      }
    >
      <Preview name={dataset.name} />
      <Section title={trans.__('Columns')}>
        <DataTable
          label={trans.__('Columns of %1', dataset.name)}
          rows={dataset.columns}
          rowKey={column => column.name}
          columns={[
            { name: trans.__('Name'), cell: column => column.name },
            { name: trans.__('Type'), cell: column => <code>{column.type}</code> },
            {
              name: trans.__('May be null'),
              cell: column => (column.nullable ? trans.__('yes') : trans.__('no'))
            },
            { name: trans.__('Comment'), cell: column => column.comment }
          ]}
        />
      </Section>
      <Section title={trans.__('Read it')}>
        <Snippet code={dataset.snippet} />
      </Section>
      <RelatedRuns title={trans.__('Read by')} origin={{ dataset: dataset.name }} />
    </PageFrame>
  );
}

function Preview({ name }: { name: string }): ReactElement {
  const { api, trans } = usePerijove();
  const { data, problem, refresh } = usePolled(`preview/${name}`, () => previewDataset(api, name), {
    isLast: () => true
  });
  return (
    <Section title={trans.__('First rows')}>
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={10} />}
      {data && <Rows name={name} table={data} />}
    </Section>
  );
}

function Rows({ name, table }: { name: string; table: Table }): ReactElement {
  const { trans } = usePerijove();
  const columns = useMemo(
    () => table.columns.map((column, index) => valueColumn(column, index, table)),
    [table]
  );
  if (table.rows.length === 0) {
    return <p className="pj-Facts">{trans.__('The table is empty.')}</p>;
  }
  return (
    <>
      <DataTable
        label={trans.__('First rows of %1', name)}
        rows={table.rows}
        rowKey={(_, index) => index}
        columns={columns}
      />
      {table.truncated && (
        <p className="pj-Facts">{trans.__('The first %1 rows are shown.', PREVIEW_ROWS)}</p>
      )}
    </>
  );
}

function valueColumn(column: Column, index: number, table: Table): IColumn<unknown[]> {
  const numeric = table.rows.some(row => typeof row[index] === 'number');
  return { name: column.name, note: column.type, numeric, cell: row => <Value of={row[index]} /> };
}

function Value({ of: value }: { of: unknown }): ReactElement {
  if (value === null || value === undefined) {
    return <span className="pj-Null">null</span>;
  }
  return <>{typeof value === 'string' ? value : JSON.stringify(value)}</>;
}
