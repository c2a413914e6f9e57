import { Dialog, showDialog } from '@jupyterlab/apputils';
import { useState, type ReactElement } from 'react';

import type { Job, JobVersion } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Digest } from '../ui/digest';
import { STEP } from '../ui/list';
import { Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure, Skeleton } from '../ui/states';
import { DataTable, type IColumn } from '../ui/table';
import { approveVersion, listJobVersions, withdrawVersion } from './requests';
import { runJob } from './runForm';

interface IVersionsProps {
  job: Job;
  /** Whether the reader may change the job. */
  mine: boolean;
  /** Carry a change out and show why not, if so. */
  act: (change: Promise<unknown>) => void;
}

/** A job's versions, newest first: who made them, what differs, and which are approved. */
export function Versions({ job, mine, act }: IVersionsProps): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [limit, setLimit] = useState(STEP);
  const [chosen, setChosen] = useState<number[]>([]);
  const { data, problem, refresh } = usePolled(
    `job/${job.id}/versions?limit=${limit}&latest=${job.latest.version}`,
    () => listJobVersions(api, job.id, limit),
    { interval: 15_000 }
  );
  const [older, newer] = [...chosen].sort((a, b) => a - b);
  const several = job.latest.version > 1;
  const compare = (before: number, after: number): void =>
    actions.open({
      kind: 'job-diff',
      id: `${job.id}/${before}/${after}`,
      title: trans.__('%1 · versions %2 and %3', job.name, before, after)
    });
  const choose = (version: number, isChosen: boolean): void =>
    // The third one takes the place of the first.
    setChosen(isChosen ? [...chosen, version].slice(-2) : chosen.filter(one => one !== version));
  const columns: (IColumn<JobVersion> | false)[] = [
    several && {
      name: trans.__('Compare'),
      cell: ({ version }) => (
        <input
          type="checkbox"
          className="pj-Tick"
          aria-label={trans.__('Compare version %1', version)}
          checked={chosen.includes(version)}
          onChange={({ target }) => choose(version, target.checked)}
        />
      )
    },
    {
      name: trans.__('Version'),
      numeric: true,
      cell: ({ version }) => version
    },
    {
      name: trans.__('State'),
      cell: version => <Approval version={version} job={job} />
    },
    { name: trans.__('Digest'), cell: ({ digest }) => <Digest digest={digest} /> },
    { name: trans.__('Made'), cell: version => <Moment at={version.created_at} /> },
    { name: trans.__('By'), cell: version => version.created_by },
    { name: trans.__('Files'), numeric: true, cell: ({ inputs }) => inputs.length || '–' },
    { name: trans.__('Image'), cell: ({ image }) => image ?? '–' },
    mine && {
      name: trans.__('Actions'),
      cell: version => (
        <Actions job={job} version={version} act={change => act(change.then(refresh))} />
      )
    }
  ];
  return (
    <Section
      title={trans.__('Versions')}
      actions={
        several && (
          <button
            className="pj-Button pj-mod-small"
            disabled={older === undefined || newer === undefined}
            title={trans.__('Tick two versions to see what differs')}
            onClick={() => older !== undefined && newer !== undefined && compare(older, newer)}
          >
            {older !== undefined && newer !== undefined
              ? trans.__('Compare %1 and %2', older, newer)
              : trans.__('Compare two')}
          </button>
        )
      }
    >
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={2} />}
      {data && (
        <DataTable
          label={trans.__('Versions of %1', job.name)}
          rows={data.items}
          rowKey={({ version }) => version}
          isSelected={several ? ({ version }) => chosen.includes(version) : undefined}
          columns={columns.filter(column => column !== false)}
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

function Approval({ version, job }: { version: JobVersion; job: Job }): ReactElement {
  const { trans } = usePerijove();
  const { approved_by: who, approved_at: at } = version;
  return (
    <>
      {who && at ? (
        <span title={trans.__('by %1', who)}>
          <Chip state="approved" />
        </span>
      ) : (
        <span className="pj-Null">{trans.__('not approved')}</span>
      )}
      {version.version === job.latest.version && (
        <span className="pj-Tag">{trans.__('latest')}</span>
      )}
    </>
  );
}

function Actions({
  job,
  version,
  act
}: {
  job: Job;
  version: JobVersion;
  act: (change: Promise<unknown>) => void;
}): ReactElement {
  const perijove = usePerijove();
  const { api, trans } = perijove;
  const number = version.version;
  const withdraw = async (): Promise<void> => {
    const { button } = await showDialog({
      title: trans.__('Withdraw the approval of version %1?', number),
      body: trans.__(
        'Schedules that follow approved versions run the newest one that is left. Runs that wait or run go on.'
      ),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Withdraw') })]
    });
    if (button.accept) {
      await withdrawVersion(api, job.id, number);
    }
  };
  return (
    <span className="pj-VersionActions">
      <button
        className="pj-Button pj-mod-small"
        aria-label={trans.__('Run version %1…', number)}
        onClick={() => void runJob(perijove, job, undefined, version)}
      >
        {trans.__('Run…')}
      </button>
      {version.approved_at ? (
        <button
          className="pj-Button pj-mod-small"
          aria-label={trans.__('Withdraw the approval of version %1…', number)}
          onClick={() => act(withdraw())}
        >
          {trans.__('Withdraw…')}
        </button>
      ) : (
        <button
          className="pj-Button pj-mod-small"
          aria-label={trans.__('Approve version %1', number)}
          title={trans.__('Schedules that follow approved versions then run it')}
          onClick={() => act(approveVersion(api, job.id, number))}
        >
          {trans.__('Approve')}
        </button>
      )}
    </span>
  );
}
