import { useState, type ReactElement } from 'react';

import type { Image, ImageVersion } from '../api/types';
import { usePerijove } from '../ui/context';
import { Search, STEP } from '../ui/list';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Empty, Failure, Skeleton } from '../ui/states';
import { DataTable } from '../ui/table';
import { listPackages } from './requests';

/** What is in a version of an image: the current one, or another one on request. */
export function Packages({
  image,
  versions
}: {
  image: Image;
  versions: ImageVersion[];
}): ReactElement {
  const { trans } = usePerijove();
  const built = versions.filter(({ digest }) => digest).map(({ version }) => version);
  const [chosen, setChosen] = useState<number>();
  const shown = chosen ?? image.current ?? built[0];
  return (
    <Section
      title={trans.__('Packages')}
      actions={
        built.length > 1 && (
          <select
            className="pj-Input pj-mod-short"
            aria-label={trans.__('Version whose packages are shown')}
            value={shown}
            onChange={({ target }) => setChosen(Number(target.value))}
          >
            {built.map(version => (
              <option key={version} value={version}>
                {version === image.current
                  ? trans.__('version %1, current', version)
                  : trans.__('version %1', version)}
              </option>
            ))}
          </select>
        )
      }
    >
      {shown === undefined ? (
        <Empty title={trans.__('Not known yet')}>
          {trans.__('What is in an image is listed once a version of it is built.')}
        </Empty>
      ) : (
        <PackageList name={image.name} version={shown} />
      )}
    </Section>
  );
}

function PackageList({ name, version }: { name: string; version: number }): ReactElement {
  const { api, trans } = usePerijove();
  const [words, setWords] = useState('');
  const [limit, setLimit] = useState(STEP);
  const { data, problem, refresh, stale } = usePolled(
    `packages/${name}@${version}?q=${words}&limit=${limit}`,
    () => listPackages(api, name, version, words, limit),
    // What is in a version never changes.
    { isLast: () => true }
  );
  return (
    <>
      <Search label={trans.__('Search packages')} onSearch={setWords} />
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={6} />}
      {data && (
        <div className="pj-Packages" aria-busy={stale}>
          {data.items.length === 0 ? (
            <Empty
              title={
                words
                  ? trans.__('No package of it matches “%1”', words)
                  : trans.__('It says nothing of what is in it')
              }
            />
          ) : (
            <DataTable
              label={trans.__('Packages of %1@%2', name, version)}
              rows={data.items}
              rowKey={one => `${one.manager}:${one.name}`}
              columns={[
                { name: trans.__('Name'), cell: one => one.name },
                { name: trans.__('Version'), cell: one => <code>{one.version}</code> },
                { name: trans.__('From'), cell: one => one.manager }
              ]}
            />
          )}
        </div>
      )}
      {data?.next_cursor && (
        <button className="pj-Button pj-mod-start" onClick={() => setLimit(limit + STEP)}>
          {trans.__('Show more')}
        </button>
      )}
    </>
  );
}
