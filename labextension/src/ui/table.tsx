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
  choice?: IChoice<T>;
}

/** Boxes before the rows, to choose some of them; the space bar on a row does it too. */
export interface IChoice<T> {
  /** Names a row's box. */
  label: (item: T) => string;
  isChosen: (item: T) => boolean;
  onChoose: (item: T) => void;
}

/** A table with a header that stays, for many rows and columns. */
export function DataTable<T>(props: IDataTableProps<T>): ReactElement {
  const { choice, columns, rows, onOpen } = props;
  return (
    <div className="pj-Table" tabIndex={0} role="region" aria-label={props.label}>
      <table aria-label={props.label}>
        <thead>
          <tr>
            {choice && <td className="pj-Table-choice" />}
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
                if (event.target !== event.currentTarget) {
                  // What stands in the row has its own keys.
                  return;
                }
                if (onOpen && event.key === 'Enter') {
                  onOpen(row);
                } else if (choice && event.key === ' ') {
                  event.preventDefault();
                  choice.onChoose(row);
                }
              }}
            >
              {choice && (
                <td className="pj-Table-choice" onClick={event => event.stopPropagation()}>
                  <label>
                    <input
                      type="checkbox"
                      aria-label={choice.label(row)}
                      checked={choice.isChosen(row)}
                      onChange={() => choice.onChoose(row)}
                    />
                  </label>
                </td>
              )}
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
