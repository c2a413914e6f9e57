import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { Lineage, Run } from '../api/types';
import type { IActions } from '../tokens';
import { usePerijove } from '../ui/context';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { LineagePicture, type INode } from './lineagePicture';
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
  const nodes = nodesOf(data, run, actions, trans);
  if (nodes.length === 1 && !data.incomplete) {
    return null;
  }
  return (
    <Section title={trans.__('Lineage')}>
      {data.incomplete && <p className="pj-Facts">{data.incomplete}</p>}
      {nodes.length > 1 && <LineagePicture nodes={nodes} />}
    </Section>
  );
}

/** Everything in its column: what was before, the run, what it recorded, what that made. */
function nodesOf(lineage: Lineage, run: Run, actions: IActions, trans: TranslationBundle): INode[] {
  const here = `run:${run.id}`;
  const runNode = (one: Lineage['upstream'][number], column: number): INode => ({
    key: `run:${one.id}`,
    column,
    kind: trans.__('run'),
    name: one.job,
    state: one.state,
    relation: column > 1 ? trans.__('followed by') : trans.__('ran after'),
    from: column > 1 ? [here] : [],
    open: () => actions.open({ kind: 'run', id: one.id, title: `${one.job} · ${trans.__('run')}` })
  });
  const before: INode[] = [
    ...lineage.upstream.map(one => runNode(one, 0)),
    ...lineage.datasets.map(name => ({
      key: `dataset:${name}`,
      column: 0,
      // A bare name is a source's, of which no table was recognised.
      kind: name.includes('.') ? trans.__('dataset') : trans.__('source'),
      name,
      relation: trans.__('read'),
      from: [],
      open: name.includes('.')
        ? () => actions.open({ kind: 'dataset', id: name, title: name })
        : undefined
    }))
  ];
  return [
    ...before,
    {
      key: here,
      column: 1,
      kind: trans.__('this run'),
      name: run.job,
      state: run.state,
      from: before.map(({ key }) => key)
    },
    ...lineage.tracked.map(one => ({
      key: `tracked:${one.id}`,
      column: 2,
      kind: trans.__('MLflow run'),
      name: `${one.experiment}: ${one.name}`,
      state: one.state,
      relation: trans.__('recorded'),
      from: [here],
      open: () =>
        actions.openTracking(
          `#/experiments/${encodeURIComponent(one.experiment_id)}/runs/${encodeURIComponent(one.id)}`
        )
    })),
    ...lineage.downstream.map(one => runNode(one, 2)),
    ...lineage.models.map(one => ({
      key: `model:${one.model}:${one.version}`,
      column: 3,
      kind: trans.__('model'),
      name: trans.__('%1 version %2', one.model, one.version),
      relation: trans.__('made'),
      from: [`tracked:${one.tracked_run}`],
      open: () =>
        actions.openTracking(`#/models/${encodeURIComponent(one.model)}/versions/${one.version}`)
    }))
  ];
}
