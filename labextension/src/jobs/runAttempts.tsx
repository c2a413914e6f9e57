import type { ReactElement } from 'react';

import type { Attempt, Run } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { duration, Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure, Skeleton } from '../ui/states';
import { DataTable } from '../ui/table';
import { listAttempts } from './watching';

interface IProps {
  run: Run;
  /** The attempt whose cells, log and notebook the page shows. */
  shown: number;
  onChoose: (attempt: Attempt) => void;
}

/** How often a run was tried and how each try ended; the page shows the one that is chosen. */
export function Attempts({ run, shown, onChoose }: IProps): ReactElement {
  const { api, trans } = usePerijove();
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
          isSelected={({ attempt }) => attempt === shown}
          onOpen={onChoose}
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
      <p className="pj-Facts">
        {trans.__('Choose an attempt to see its cells, log and output notebook below.')}
      </p>
    </Section>
  );
}
