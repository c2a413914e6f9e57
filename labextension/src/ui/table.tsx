import type { ReactElement, ReactNode } from 'react';

/** A column of a table. */
export interface IColumn<T> {
  name: string;
  /** Stands under the name. */
  note?: string;
  /** Numbers stand at the right. */
  numeric?: boolean;
  cell: (item: T) => ReactNode;
}

interface IDataTableProps<T> {
  label: string;
  columns: IColumn<T>[];
  rows: T[];
  rowKey: (item: T, index: number) => string | number;
  onOpen?: (item: T) => void;
  isSelected?: (item: T) => boolean;
}

/** A table with a header that stays, for many rows and columns. */
export function DataTable<T>(props: IDataTableProps<T>): ReactElement {
  const { columns, rows, onOpen } = props;
  return (
    <div className="pj-Table" tabIndex={0} role="region" aria-label={props.label}>
      <table aria-label={props.label}>
        <thead>
          <tr>
            {columns.map(column => (
              <th key={column.name} scope="col" className={column.numeric ? 'pj-mod-numeric' : ''}>
                {column.name}
                {column.note && <small>{column.note}</small>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr
              key={props.rowKey(row, index)}
              className={onOpen ? 'pj-mod-open' : ''}
              tabIndex={onOpen ? 0 : undefined}
              aria-selected={props.isSelected?.(row)}
              onClick={() => onOpen?.(row)}
              onKeyDown={event => {
                if (onOpen && event.key === 'Enter') {
                  onOpen(row);
                }
              }}
            >
              {columns.map(column => (
                <td key={column.name} className={column.numeric ? 'pj-mod-numeric' : ''}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
