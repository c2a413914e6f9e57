import type { ReactElement } from 'react';

import type { Job, Sweep } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure } from '../ui/states';
import { DataTable } from '../ui/table';
import { sweepJob } from './sweepForm';
import { figure, goalWords, progressWords, valuesWords } from './sweepPage';
import { listSweeps } from './sweeps';

/** Sweeps that a job's page shows. */
const SHOWN = 10;

/** A job's last sweeps, and a way to start one. */
export function Sweeps({ job, mine = true }: { job: Job; mine?: boolean }): ReactElement {
  const perijove = usePerijove();
  const { actions, api, trans } = perijove;
  const { data, problem, refresh } = usePolled(`job/${job.id}/sweeps`, () =>
    listSweeps(api, job.id, SHOWN)
  );
  return (
    <Section
      title={trans.__('Sweeps')}
      actions={
        mine && (
          <button className="pj-Button" onClick={() => void sweepJob(perijove, job).then(refresh)}>
            {trans.__('Sweep…')}
          </button>
        )
      }
    >
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {data?.items.length === 0 && (
        <p className="pj-Facts">
          {trans.__('Searches its parameters for the best value of a metric.')}
        </p>
      )}
      {!!data?.items.length && (
        <DataTable<Sweep>
          label={trans.__('Sweeps of %1', job.name)}
          rows={data.items}
          rowKey={({ id }) => id}
          onOpen={({ id }) =>
            actions.open({ kind: 'sweep', id, title: `${job.name} · ${trans.__('sweep')}` })
          }
          columns={[
            {
              name: trans.__('State'),
              cell: one => <Chip state={one.state} title={one.reason ?? undefined} />
            },
            { name: trans.__('Searches'), cell: one => `${goalWords(one, trans)} · ${one.method}` },
            {
              name: trans.__('Best'),
              cell: ({ best }) => (best ? `${figure(best.value)} · ${valuesWords(best)}` : '–')
            },
            { name: trans.__('Trials'), cell: one => progressWords(one, trans) },
            { name: trans.__('Started'), cell: one => <Moment at={one.created_at} /> },
            { name: trans.__('By'), cell: one => one.requested_by }
          ]}
        />
      )}
    </Section>
  );
}
