import { useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Job, Notification } from '../api/types';
import { usePerijove } from '../ui/context';
import { Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure } from '../ui/states';
import { DataTable } from '../ui/table';
import { deleteNotification, listNotifications, tryNotification } from './notifications';
import { eventWords, notifyOf } from './notifyForm';
import { Messages } from './notifyMessages';

/** Who is told of a job's runs, and ways to add, try and remove one. */
export function Notifications({ job, mine }: { job: Job; mine: boolean }): ReactElement {
  const perijove = usePerijove();
  const { api, trans } = perijove;
  const [refusal, setRefusal] = useState<IProblem>();
  const [said, setSaid] = useState('');
  const { data, problem, refresh } = usePolled(`job/${job.id}/notifications`, () =>
    listNotifications(api, job.id)
  );
  const act = (change: Promise<unknown>, words = ''): void => {
    setRefusal(undefined);
    setSaid('');
    change.then(
      () => {
        setSaid(words);
        refresh();
      },
      (error: unknown) => setRefusal(asProblem(error))
    );
  };
  return (
    <Section
      title={trans.__('Notifications')}
      actions={
        mine && (
          <button className="pj-Button" onClick={() => act(notifyOf(perijove, job))}>
            {trans.__('Notify…')}
          </button>
        )
      }
    >
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {refusal && <Failure problem={refusal} />}
      {said && (
        <p className="pj-Facts" role="status">
          {said}
        </p>
      )}
      {data?.items.length === 0 && (
        <p className="pj-Facts">
          {trans.__('Tells a webhook or an address when a run fails, is late, or recovers.')}
        </p>
      )}
      {!!data?.items.length && (
        <DataTable<Notification>
          label={trans.__('Notifications of %1', job.name)}
          rows={data.items}
          rowKey={({ id }) => id}
          columns={[
            {
              name: trans.__('By'),
              cell: ({ channel }) =>
                channel === 'email' ? trans.__('e-mail') : trans.__('webhook')
            },
            { name: trans.__('To'), cell: ({ target }) => <code title={target}>{target}</code> },
            {
              name: trans.__('When'),
              cell: ({ on }) => on.map(event => eventWords(event, trans)).join(', ')
            },
            {
              name: trans.__('Last sent'),
              cell: one =>
                one.last_error ? (
                  <span className="pj-Field-problem" title={one.last_error}>
                    {one.last_error}
                  </span>
                ) : (
                  one.last_sent_at && <Moment at={one.last_sent_at} />
                )
            },
            {
              name: '',
              cell: one =>
                mine && (
                  <>
                    <button
                      className="pj-Link"
                      onClick={() =>
                        act(tryNotification(api, one.id), trans.__('A test message has arrived.'))
                      }
                    >
                      {trans.__('Test')}
                    </button>{' '}
                    <button
                      className="pj-Link"
                      onClick={() => act(deleteNotification(api, one.id))}
                    >
                      {trans.__('Remove')}
                    </button>
                  </>
                )
            }
          ]}
        />
      )}
      {mine && !!data?.items.length && <Messages job={job} />}
    </Section>
  );
}
