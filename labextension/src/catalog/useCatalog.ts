import { useCallback, useEffect, useMemo, useState } from 'react';

import type { IProblem } from '../api/requests';
import type { DatasetSummary, IPage, Source } from '../api/types';
import { usePerijove } from '../ui/context';
import { usePolled } from '../ui/polled';
import { sourceKey, visibleNodes, type IKnown, type Node } from './nodes';
import { getDataset, listDatasets, listSources } from './requests';

/** The tree's state and what a person can do with it. */
export interface ICatalog {
  /** The lines to show; undefined until the sources are known. */
  nodes?: Node[];
  problem?: IProblem;
  /** When it was read, if nobody answers since. */
  lost?: Date;
  isOpen: (key: string) => boolean;
  /** Unfold or fold a line. */
  setOpen: (node: Node, open: boolean) => void;
  /** Read everything again. */
  refresh: () => void;
}

type Loaded = Pick<IKnown, 'tables' | 'columns' | 'cut' | 'failed'>;

const NOTHING: Loaded = {
  tables: new Map(),
  columns: new Map(),
  cut: new Set(),
  failed: new Set()
};

/**
 * Know the catalog as far as it is unfolded, or what matches the words.
 *
 * @param words - What to search for; empty for the whole tree.
 */
export function useCatalog(words: string): ICatalog {
  const { api } = usePerijove();
  const sources = usePolled('sources', () => listSources(api), { interval: 15_000 });
  const search = usePolled(
    `datasets?q=${words}`,
    async () => (words ? listDatasets(api, { q: words }) : null),
    { interval: 30_000, isLast: found => found === null }
  );
  const [folds, setFolds] = useState(new Map<string, boolean>());
  const [loaded, setLoaded] = useState(NOTHING);
  const [generation, setGeneration] = useState(0);
  // A search unfolds what it found; a schema is unfolded with its source.
  const isOpen = useCallback(
    (key: string) =>
      folds.get(key) ?? (key.startsWith('schema/') || (!!words && key.startsWith('source/'))),
    [folds, words]
  );
  const setOpen = useCallback(
    (node: Node, open: boolean) => setFolds(before => new Map(before).set(node.key, open)),
    []
  );
  const reads = sources.data?.items.filter(source => !words && isOpen(sourceKey(source.name)));
  const wanted = reads?.map(source => `${source.name} ${source.crawled_at ?? ''}`).join('\n') ?? '';
  useEffect(() => {
    for (const line of wanted.split('\n').filter(Boolean)) {
      const name = line.slice(0, line.indexOf(' '));
      listDatasets(api, { source: name }).then(
        page => setLoaded(before => withTables(before, name, page)),
        () => setLoaded(before => withFailure(before, sourceKey(name)))
      );
    }
  }, [api, wanted, generation]);
  const unfolded = [...folds].filter(([key, open]) => open && key.startsWith('table/'));
  const described = unfolded.map(([key]) => key.slice('table/'.length)).join('\n');
  useEffect(() => {
    for (const name of described.split('\n').filter(Boolean)) {
      getDataset(api, name).then(
        ({ columns }) =>
          setLoaded(before => ({ ...before, columns: new Map(before.columns).set(name, columns) })),
        () => setLoaded(before => withFailure(before, `table/${name}`))
      );
    }
  }, [api, described, generation]);
  const known = useMemo(
    () => combine(sources.data, words ? search.data : null, loaded),
    [sources.data, words, search.data, loaded]
  );
  return {
    nodes: known && visibleNodes(known, isOpen),
    problem: sources.problem ?? search.problem,
    lost: sources.lost ?? search.lost,
    isOpen,
    setOpen,
    refresh: () => {
      setLoaded(before => ({ ...before, failed: NOTHING.failed }));
      setGeneration(count => count + 1);
      sources.refresh();
      search.refresh();
    }
  };
}

/** Put together what the tree shows; a search shows only what it found. */
function combine(
  sources: IPage<Source> | undefined,
  found: IPage<DatasetSummary> | null | undefined,
  loaded: Loaded
): IKnown | undefined {
  if (!sources || found === undefined) {
    return undefined;
  }
  if (found === null) {
    return { sources: sources.items, ...loaded };
  }
  const tables = new Map<string, DatasetSummary[]>();
  for (const table of found.items) {
    tables.set(table.source, [...(tables.get(table.source) ?? []), table]);
  }
  return {
    ...loaded,
    tables,
    sources: sources.items.filter(source => tables.has(source.name)),
    cut: new Set()
  };
}

function withTables(before: Loaded, name: string, page: IPage<DatasetSummary>): Loaded {
  const cut = new Set(before.cut);
  if (page.next_cursor) {
    cut.add(name);
  }
  return { ...before, cut, tables: new Map(before.tables).set(name, page.items) };
}

function withFailure(before: Loaded, key: string): Loaded {
  return { ...before, failed: new Set(before.failed).add(key) };
}
