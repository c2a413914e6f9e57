import type { Column, DatasetSummary, Source } from '../api/types';

/** A line of the tree: a source, a schema, a table or a column. */
export type Node =
  | { kind: 'source'; key: string; level: 1; source: Source }
  | { kind: 'schema'; key: string; level: 2; name: string; tables: number }
  | { kind: 'table'; key: string; level: 3; table: DatasetSummary }
  | { kind: 'column'; key: string; level: 4; column: Column }
  | { kind: 'note'; key: string; level: number; state: 'loading' | 'empty' | 'failed' | 'more' };

/** What the tree knows so far. */
export interface IKnown {
  sources: Source[];
  /** Tables by source; missing while they are on their way. */
  tables: Map<string, DatasetSummary[]>;
  /** Sources with more tables than were given. */
  cut: Set<string>;
  /** Columns by dataset name. */
  columns: Map<string, Column[]>;
  failed: Set<string>;
}

/** Key of a source's line. */
export const sourceKey = (name: string): string => `source/${name}`;

/**
 * List the lines a person can see.
 *
 * @param isOpen - Whether the line with this key is unfolded.
 */
export function visibleNodes(known: IKnown, isOpen: (key: string) => boolean): Node[] {
  return known.sources.flatMap(source => {
    const key = sourceKey(source.name);
    const line: Node = { kind: 'source', key, level: 1, source };
    return isOpen(key) ? [line, ...schemaNodes(known, source, key, isOpen)] : [line];
  });
}

function schemaNodes(
  known: IKnown,
  source: Source,
  parent: string,
  isOpen: (key: string) => boolean
): Node[] {
  const tables = known.tables.get(source.name);
  if (!tables) {
    return [note(parent, 2, known.failed.has(parent) ? 'failed' : 'loading')];
  }
  if (tables.length === 0) {
    return [note(parent, 2, 'empty')];
  }
  const bySchema = new Map<string, DatasetSummary[]>();
  for (const table of tables) {
    bySchema.set(table.schema_name, [...(bySchema.get(table.schema_name) ?? []), table]);
  }
  const lines = [...bySchema].flatMap(([name, members]): Node[] => {
    const key = `schema/${source.name}/${name}`;
    const line: Node = { kind: 'schema', key, level: 2, name, tables: members.length };
    return isOpen(key)
      ? [line, ...members.flatMap(table => tableNodes(known, table, isOpen))]
      : [line];
  });
  return known.cut.has(source.name) ? [...lines, note(parent, 2, 'more')] : lines;
}

function tableNodes(
  known: IKnown,
  table: DatasetSummary,
  isOpen: (key: string) => boolean
): Node[] {
  const key = `table/${table.name}`;
  const line: Node = { kind: 'table', key, level: 3, table };
  if (!isOpen(key)) {
    return [line];
  }
  const columns = known.columns.get(table.name);
  if (!columns) {
    return [line, note(key, 4, known.failed.has(key) ? 'failed' : 'loading')];
  }
  return [
    line,
    ...columns.map((column): Node => ({
      kind: 'column',
      key: `${key}/${column.name}`,
      level: 4,
      column
    }))
  ];
}

function note(parent: string, level: number, state: 'loading' | 'empty' | 'failed' | 'more'): Node {
  return { kind: 'note', key: `${parent}/${state}`, level, state };
}
