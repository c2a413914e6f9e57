import { useState, type ReactElement } from 'react';

import type { Attempt, Run } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Log } from '../ui/log';
import { duration, Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure, Skeleton } from '../ui/states';
import { DataTable } from '../ui/table';
import { getAttemptLog, listAttempts } from './watching';

/** How often a run was tried, how each try ended, and the log of an earlier one. */
export function Attempts({ run }: { run: Run }): ReactElement {
  const { api, trans } = usePerijove();
  const [chosen, setChosen] = useState<number>();
  const { data, problem, refresh } = usePolled(
    `run/${run.id}/attempts/${run.attempt}/${run.state}`,
    () => listAttempts(api, run.id),
    { isLast: () => true }
  );
  return (
    <Section title={trans.__('Attempts')}>
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={2} />}
      {data && (
        <DataTable<Attempt>
          label={trans.__('Attempts')}
          rows={data}
          rowKey={({ attempt }) => attempt}
          isSelected={({ attempt }) => attempt === chosen}
          onOpen={({ attempt }) => setChosen(attempt === chosen ? undefined : attempt)}
          columns={[
            { name: trans.__('Attempt'), numeric: true, cell: ({ attempt }) => attempt },
            { name: trans.__('State'), cell: ({ state }) => <Chip state={state} /> },
            {
              name: trans.__('Started'),
              cell: ({ started_at: at }) => (at ? <Moment at={at} /> : '')
            },
            {
              name: trans.__('Took'),
              numeric: true,
              cell: ({ started_at: at, ended_at: end }) => at && duration(at, end, trans)
            },
            {
              name: trans.__('Peak memory'),
              numeric: true,
              cell: ({ peak_memory_mb: peak }) => (peak ? trans.__('%1 MiB', Math.round(peak)) : '')
            },
            {
              name: trans.__('Why'),
              cell: ({ reason }) => <span title={reason ?? ''}>{reason}</span>
            }
          ]}
        />
      )}
      {chosen !== undefined && chosen < run.attempt && (
        <>
          <h3>{trans.__('Log of attempt %1', chosen)}</h3>
          <Log
            key={chosen}
            question={`run/${run.id}/attempt/${chosen}/log`}
            read={offset => getAttemptLog(api, run.id, chosen, offset)}
          />
        </>
      )}
    </Section>
  );
}
