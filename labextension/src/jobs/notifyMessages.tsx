import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { Delivery, Job } from '../api/types';
import { usePerijove } from '../ui/context';
import { Moment } from '../ui/moment';
import { usePolled } from '../ui/polled';
import { Failure } from '../ui/states';
import { DataTable } from '../ui/table';
import { listDeliveries } from './notifications';
import { eventWords } from './notifyForm';
import { RunLink } from './runLink';

/** The newest messages of a job, and why any did not arrive. */
export function Messages({ job }: { job: Job }): ReactElement | null {
  const { api, trans } = usePerijove();
  const { data, problem, refresh } = usePolled(`job/${job.id}/deliveries`, () =>
    listDeliveries(api, job.id)
  );
  if (problem) {
    return <Failure problem={problem} onRetry={refresh} />;
  }
  if (!data?.items.length) {
    return null;
  }
  return (
    <>
      <h3>{trans.__('Messages')}</h3>
      <DataTable<Delivery>
        label={trans.__('Messages of %1', job.name)}
        rows={data.items}
        rowKey={({ id }) => id}
        columns={[
          { name: trans.__('When'), cell: one => <Moment at={one.created_at} /> },
          { name: trans.__('What'), cell: one => eventWords(one.event, trans) },
          { name: trans.__('To'), cell: one => <code>{one.target}</code> },
          {
            name: trans.__('Run'),
            cell: one =>
              one.run_id ? (
                <RunLink id={one.run_id} job={job.name} text={trans.__('show')} />
              ) : (
                trans.__('none yet')
              )
          },
          { name: trans.__('State'), cell: one => stateWords(one, trans) },
          {
            name: trans.__('Why not'),
            cell: one => one.error && <span className="pj-Field-problem">{one.error}</span>
          }
        ]}
      />
    </>
  );
}

function stateWords({ state, attempts }: Delivery, trans: TranslationBundle): string {
  return {
    sent: trans.__('arrived'),
    waiting: attempts
      ? trans._n('tried once, is tried again', 'tried %1 times, is tried again', attempts)
      : trans.__('is being sent'),
    'given up': trans._n('given up after one try', 'given up after %1 tries', attempts)
  }[state];
}
