import { launchIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import type { TrackedRun } from '../api/types';
import { RelatedRuns } from '../jobs/relatedRuns';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { STEP } from '../ui/list';
import { duration, Moment } from '../ui/moment';
import { Facts, Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Empty } from '../ui/states';
import { DataTable, type IColumn } from '../ui/table';
import { listTrackedRuns } from './requests';

/** An experiment's own page: its runs side by side, and one of them in full. */
export function ExperimentPage({ id, name }: { id: string; name: string }): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [limit, setLimit] = useState(STEP);
  const [chosen, setChosen] = useState<string>();
  const runs = usePolled(`experiment/${id}?limit=${limit}`, () => listTrackedRuns(api, id, limit));
  return (
    <Loaded polled={runs}>
      {page => (
        <PageFrame
          kind={trans.__('Experiment')}
          title={name}
          facts={trans._n('%1 run shown', '%1 runs shown', page.items.length)}
          actions={
            <button
              className="pj-Button pj-mod-primary"
              onClick={() => actions.openTracking(`#/experiments/${encodeURIComponent(id)}`)}
            >
              {trans.__('Open in MLflow')}
              <launchIcon.react tag="span" />
            </button>
          }
        >
          {page.items.length === 0 ? (
            <Empty title={trans.__('No runs yet')} code={`%%experiment ${name}\n%metric auc=0.93`}>
              {trans.__('Each time this cell runs, a run appears here:')}
            </Empty>
          ) : (
            <RunsTable runs={page.items} chosen={chosen} onChoose={setChosen} />
          )}
          {page.next_cursor && (
            <button className="pj-Button" onClick={() => setLimit(limit + STEP)}>
              {trans.__('Show more')}
            </button>
          )}
          <RunDetail experiment={id} run={page.items.find(run => run.id === chosen)} />
        </PageFrame>
      )}
    </Loaded>
  );
}

function RunsTable({
  runs,
  chosen,
  onChoose
}: {
  runs: TrackedRun[];
  chosen?: string;
  onChoose: (id: string) => void;
}): ReactElement {
  const { trans } = usePerijove();
  const columns: IColumn<TrackedRun>[] = [
    { name: trans.__('Run'), cell: run => <strong>{run.name}</strong> },
    { name: trans.__('State'), cell: run => <Chip state={run.state} /> },
    ...namesIn(runs, run => run.metrics).map((name): IColumn<TrackedRun> => ({
      name,
      note: trans.__('metric'),
      numeric: true,
      cell: run => metric(run.metrics[name])
    })),
    ...namesIn(runs, run => run.parameters).map((name): IColumn<TrackedRun> => ({
      name,
      note: trans.__('parameter'),
      cell: run => run.parameters[name] ?? ''
    })),
    { name: trans.__('User'), cell: run => run.user },
    { name: trans.__('Started'), cell: run => <Moment at={run.started_at} /> }
  ];
  return (
    <DataTable
      label={trans.__('Runs')}
      columns={columns}
      rows={runs}
      rowKey={run => run.id}
      isSelected={run => run.id === chosen}
      onOpen={run => onChoose(run.id)}
    />
  );
}

function RunDetail({ experiment, run }: { experiment: string; run?: TrackedRun }): ReactElement {
  const { actions, trans } = usePerijove();
  if (!run) {
    return <p className="pj-Facts">{trans.__('Choose a run to see all of it.')}</p>;
  }
  return (
    <Section
      title={run.name}
      actions={
        <button
          className="pj-Button"
          onClick={() =>
            actions.openTracking(`#/experiments/${encodeURIComponent(experiment)}/runs/${run.id}`)
          }
        >
          {trans.__('Open in MLflow')}
          <launchIcon.react tag="span" />
        </button>
      }
    >
      <Facts
        facts={[
          [trans.__('State'), <Chip key="state" state={run.state} />],
          [trans.__('User'), run.user],
          [trans.__('Started'), <Moment key="started" at={run.started_at} />],
          [trans.__('Took'), duration(run.started_at, run.ended_at, trans)],
          [trans.__('Run id'), <code key="id">{run.id}</code>]
        ]}
      />
      <h3>{trans.__('Metrics')}</h3>
      <Facts facts={Object.entries(run.metrics).map(([name, value]) => [name, metric(value)])} />
      <h3>{trans.__('Parameters')}</h3>
      <Facts facts={Object.entries(run.parameters)} />
      {run.job_run && (
        <RelatedRuns
          key={run.id}
          title={trans.__("Logged by a job's run")}
          origin={{ tracked_run: run.id }}
        />
      )}
    </Section>
  );
}

/** Names that occur in any run, in the order in which they come up. */
function namesIn(runs: TrackedRun[], of: (run: TrackedRun) => object): string[] {
  return [...new Set(runs.flatMap(run => Object.keys(of(run))))];
}

function metric(value: number | undefined): string {
  return value === undefined ? '' : String(Number(value.toPrecision(6)));
}
