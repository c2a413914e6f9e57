import type { ReactElement } from 'react';

import type { Backfill, Job } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure } from '../ui/states';
import { DataTable } from '../ui/table';
import { backfillJob } from './backfillForm';
import { Bar, rangeWords } from './backfillPage';
import { listBackfills } from './backfills';

/** Backfills that a job's page shows. */
const SHOWN = 10;

/** A job's last backfills, and a way to start one. */
export function Backfills({ job, mine = true }: { job: Job; mine?: boolean }): ReactElement {
  const perijove = usePerijove();
  const { actions, api, trans } = perijove;
  const { data, problem, refresh } = usePolled(`job/${job.id}/backfills`, () =>
    listBackfills(api, job.id, SHOWN)
  );
  return (
    <Section
      title={trans.__('Backfills')}
      actions={
        mine && (
          <button
            className="pj-Button"
            onClick={() => void backfillJob(perijove, job).then(refresh)}
          >
            {trans.__('Backfill…')}
          </button>
        )
      }
    >
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {data?.items.length === 0 && (
        <p className="pj-Facts">
          {trans.__('Runs it for each day of a past range, or each value of a parameter.')}
        </p>
      )}
      {!!data?.items.length && (
        <DataTable<Backfill>
          label={trans.__('Backfills of %1', job.name)}
          rows={data.items}
          rowKey={({ id }) => id ?? ''}
          onOpen={({ id }) =>
            id &&
            actions.open({
              kind: 'backfill',
              id,
              title: `${job.name} · ${trans.__('backfill')}`
            })
          }
          columns={[
            {
              name: trans.__('State'),
              cell: one => <Chip state={one.state} title={one.reason ?? undefined} />
            },
            { name: trans.__('Range'), cell: one => rangeWords(one, trans) },
            { name: trans.__('Slots'), cell: one => <Bar backfill={one} /> },
            {
              name: trans.__('Started'),
              cell: one => one.created_at && <Moment at={one.created_at} />
            },
            { name: trans.__('By'), cell: one => one.requested_by }
          ]}
        />
      )}
    </Section>
  );
}
