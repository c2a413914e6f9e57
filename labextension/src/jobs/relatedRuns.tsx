import type { ReactElement } from 'react';

import type { RelatedRun } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { DataTable } from '../ui/table';
import { RunLink } from './runLink';
import { listRelated, type Origin } from './watching';

/** The jobs' runs that read or made something; nothing where there is none. */
export function RelatedRuns({
  title,
  origin
}: {
  title: string;
  origin: Origin;
}): ReactElement | null {
  const { api, trans } = usePerijove();
  const { data } = usePolled(
    `lineage/${JSON.stringify(origin)}`,
    () => listRelated(api, origin),
    // MLflow or a registry that is away is said by the page around.
    { isLast: () => true }
  );
  if (!data?.items.length) {
    return null;
  }
  return (
    <Section title={title}>
      <DataTable<RelatedRun>
        label={title}
        rows={data.items}
        rowKey={({ id }) => id}
        columns={[
          {
            name: trans.__('Job'),
            cell: one => <RunLink id={one.id} job={one.job} text={one.job} />
          },
          { name: trans.__('State'), cell: one => <Chip state={one.state} /> },
          { name: trans.__('Owner'), cell: one => one.owner },
          { name: trans.__('Queued'), cell: one => <Moment at={one.queued_at} /> }
        ]}
      />
    </Section>
  );
}
