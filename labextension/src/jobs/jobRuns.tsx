import { useState, type ReactElement } from 'react';

import type { Job, Run, RunState } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { STEP } from '../ui/list';
import { duration, Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Empty, Failure, Skeleton } from '../ui/states';
import { DataTable } from '../ui/table';
import { compareInOrder } from './compareForm';
import { Progress } from './progress';
import { listRuns } from './requests';
import { StateFilter } from './stateFilter';

/** A job's runs, newest first. */
export function Runs({ job }: { job: Job }): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [chosen, setChosen] = useState<Run[]>([]);
  const [limit, setLimit] = useState(STEP);
  const [state, setState] = useState<RunState | null>(null);
  const { data, problem, refresh, stale } = usePolled(
    `job/${job.id}/runs?limit=${limit}&state=${state ?? ''}`,
    () => listRuns(api, job.id, limit, state),
    { interval: 3000 }
  );
  return (
    <Section
      title={trans.__('Runs')}
      actions={
        <span className="pj-Section-actions">
          <StateFilter label={trans.__('State of the runs')} value={state} onChange={setState} />
          <CompareButton chosen={chosen} />
        </span>
      }
    >
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={4} />}
      {data?.items.length === 0 && state && !stale && (
        <Empty title={trans.__('No run is in that state')} />
      )}
      {data?.items.length === 0 && !state && (
        <Empty title={trans.__('Not run yet')} code={`%job run ${job.name}`}>
          {trans.__('Press Run, or paste this into a notebook:')}
        </Empty>
      )}
      {!!data?.items.length && (
        <DataTable<Run>
          label={trans.__('Runs of %1', job.name)}
          rows={data.items}
          rowKey={run => run.id}
          onOpen={run =>
            actions.open({ kind: 'run', id: run.id, title: `${run.job} · ${trans.__('run')}` })
          }
          choice={{
            label: run => trans.__('Choose run of %1', new Date(run.queued_at).toLocaleString()),
            isChosen: run => chosen.some(({ id }) => id === run.id),
            onChoose: run => setChosen(before => withRun(before, run))
          }}
          columns={[
            {
              name: trans.__('State'),
              cell: run => <Chip state={run.state} title={run.reason ?? undefined} />
            },
            { name: trans.__('Progress'), cell: run => <Progress run={run} /> },
            { name: trans.__('Queued'), cell: run => <Moment at={run.queued_at} /> },
            {
              name: trans.__('Took'),
              numeric: true,
              cell: run => run.started_at && duration(run.started_at, run.ended_at, trans)
            },
            { name: trans.__('Version'), numeric: true, cell: run => run.version },
            { name: trans.__('Attempt'), numeric: true, cell: run => run.attempt },
            {
              name: trans.__('Parameters'),
              cell: run =>
                Object.entries(run.parameters)
                  .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
                  .join(', ')
            },
            {
              name: trans.__('By'),
              cell: run => (run.trigger === 'manual' ? run.requested_by : triggerWord(run, trans))
            }
          ]}
        />
      )}
      {data?.next_cursor && (
        <button className="pj-Button pj-mod-start" onClick={() => setLimit(limit + STEP)}>
          {trans.__('Show more')}
        </button>
      )}
    </Section>
  );
}

/** Compares the two runs whose boxes are ticked. */
function CompareButton({ chosen: [one, other] }: { chosen: Run[] }): ReactElement {
  const perijove = usePerijove();
  const { trans } = perijove;
  return (
    <button
      className="pj-Button"
      disabled={!one || !other}
      title={one && other ? undefined : trans.__('Tick two runs to see what differs.')}
      onClick={() => one && other && compareInOrder(perijove, one, other)}
    >
      {trans.__('Compare')}
    </button>
  );
}

/** Tick a run or take its tick away; of three the one that was ticked first loses it. */
function withRun(chosen: Run[], run: Run): Run[] {
  const others = chosen.filter(({ id }) => id !== run.id);
  return others.length < chosen.length ? others : [...others, run].slice(-2);
}

function triggerWord(
  { trigger, requested_by: who }: Run,
  trans: ReturnType<typeof usePerijove>['trans']
): string {
  const words: Record<string, string> = {
    schedule: trans.__('schedule'),
    after: trans.__('job before'),
    dataset: trans.__('new data'),
    backfill: trans.__('backfill'),
    sweep: trans.__('sweep'),
    rerun: trans.__('%1, again', who)
  };
  return words[trigger] ?? trigger;
}
