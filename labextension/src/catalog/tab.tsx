import { useCallback, useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { DatasetSummary } from '../api/types';
import { usePerijove } from '../ui/context';
import { Empty, Failure, Lost, Skeleton } from '../ui/states';
import { TabFrame } from '../ui/tabFrame';
import { getDataset } from './requests';
import { Tree } from './tree';
import { useCatalog } from './useCatalog';

/** The Data tab: find a table, look at it, read it. */
export function DataTab(): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [words, setWords] = useState('');
  const [selected, setSelected] = useState<DatasetSummary>();
  const [refusal, setRefusal] = useState<IProblem>();
  const catalog = useCatalog(words);

  const search = useCallback((next: string) => {
    setWords(next);
    setSelected(undefined);
  }, []);
  const insert = (table: DatasetSummary): void => {
    setRefusal(undefined);
    getDataset(api, table.name).then(
      dataset => actions.insertCell(dataset.snippet),
      (error: unknown) => setRefusal(asProblem(error))
    );
  };
  const preview = (table: DatasetSummary): void =>
    actions.open({ kind: 'dataset', id: table.name, title: table.table });

  return (
    <TabFrame
      search={trans.__('Search tables')}
      onSearch={search}
      onRefresh={catalog.refresh}
      primary={{
        label: trans.__('Insert cell'),
        hint: selected
          ? trans.__('Insert a cell that reads %1', selected.name)
          : trans.__('Choose a table first'),
        disabled: !selected,
        onClick: () => selected && insert(selected)
      }}
    >
      {catalog.lost && <Lost since={catalog.lost} onRetry={catalog.refresh} />}
      {refusal && <Failure problem={refusal} />}
      {catalog.problem && <Failure problem={catalog.problem} onRetry={catalog.refresh} />}
      {!catalog.nodes && !catalog.problem && <Skeleton />}
      {catalog.nodes?.length === 0 && !catalog.problem && <NoData words={words} />}
      {!!catalog.nodes?.length && (
        <Tree
          nodes={catalog.nodes}
          isOpen={catalog.isOpen}
          setOpen={catalog.setOpen}
          selected={selected}
          onSelect={setSelected}
          onPreview={preview}
          onInsert={insert}
        />
      )}
    </TabFrame>
  );
}

function NoData({ words }: { words: string }): ReactElement {
  const { trans } = usePerijove();
  if (words) {
    return (
      <Empty title={trans.__('No table matches “%1”', words)}>
        {trans.__('Search looks at names of sources, schemas and tables.')}
      </Empty>
    );
  }
  return (
    <Empty title={trans.__('No data is open to you yet')} code="%catalog">
      {trans.__(
        'An administrator adds sources to perijove.toml and names the groups that may read them. Then this lists them in a notebook:'
      )}
    </Empty>
  );
}
