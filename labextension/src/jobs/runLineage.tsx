import type { ReactElement, ReactNode } from 'react';

import type { Lineage, Run } from '../api/types';
import { usePerijove } from '../ui/context';
import { Facts, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { hasEnded } from './runState';
import { getLineage } from './watching';

/** What a run read and recorded, and the runs before and after it; nothing when there is none. */
export function RunLineage({ run }: { run: Run }): ReactElement | null {
  const { actions, api, trans } = usePerijove();
  const { data } = usePolled(`run/${run.id}/lineage/${run.state}`, () => getLineage(api, run.id), {
    isLast: () => hasEnded(run)
  });
  if (!data) {
    return null;
  }
  const runs = (related: Lineage['upstream']): ReactNode =>
    separated(
      related.map(one => (
        <button
          key={one.id}
          className="pj-Link"
          onClick={() =>
            actions.open({ kind: 'run', id: one.id, title: `${one.job} · ${trans.__('run')}` })
          }
        >
          {one.job}
        </button>
      ))
    );
  const all: [string, unknown[], ReactNode][] = [
    [trans.__('Ran after'), data.upstream, runs(data.upstream)],
    [trans.__('Read'), data.datasets, data.datasets.join(', ')],
    [
      trans.__('Recorded'),
      data.tracked,
      data.tracked.map(one => `${one.experiment}: ${one.name}`).join(', ')
    ],
    [
      trans.__('Made'),
      data.models,
      data.models.map(one => trans.__('%1 version %2', one.model, one.version)).join(', ')
    ],
    [trans.__('Followed by'), data.downstream, runs(data.downstream)]
  ];
  const facts = all.filter(([, items]) => items.length > 0);
  if (facts.length === 0 && !data.incomplete) {
    return null;
  }
  return (
    <Section title={trans.__('Lineage')}>
      {data.incomplete && <p className="pj-Facts">{data.incomplete}</p>}
      <Facts facts={facts.map(([name, , value]) => [name, value])} />
    </Section>
  );
}

function separated(items: ReactElement[]): ReactNode {
  return items.flatMap((item, at) => (at ? [', ', item] : [item]));
}
