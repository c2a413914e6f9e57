import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { Job, Notification, NotificationCreate } from '../api/types';
import type { IPerijove } from '../tokens';
import { usePerijove } from '../ui/context';
import { Field, showForm, type IFieldsProps } from '../ui/form';
import { secondsOf, SelectField, SpanField, TextField, type ISpan } from '../ui/inputs';
import { createNotification } from './notifications';

type Event = NotificationCreate['on'][number];

interface IDraft {
  channel: NotificationCreate['channel'];
  target: string;
  on: Event[];
  late: ISpan;
}

const EVENTS: Event[] = ['started', 'succeeded', 'failed', 'late', 'recovered'];

/** Ask whom to tell of a job's runs, and show once what a webhook's messages are signed with. */
export async function notifyOf(perijove: IPerijove, job: Job): Promise<Notification | null> {
  const { api, trans } = perijove;
  const made = await showForm<IDraft, Notification>(perijove, {
    title: trans.__('Tell of runs of %1', job.name),
    accept: trans.__('Add'),
    names: ['channel', 'target', 'on', 'late_after_s'],
    initial: {
      channel: 'webhook',
      target: '',
      on: ['failed', 'recovered'],
      late: { amount: '2', unit: 3600 }
    },
    Fields: NotifyFields,
    submit: ({ channel, target, on, late }) =>
      createNotification(api, job.id, {
        channel,
        target: target.trim(),
        on,
        late_after_s: on.includes('late') ? secondsOf(late, 'late_after_s', trans) : null
      })
  });
  if (made?.signing_key) {
    await showDialog({
      title: trans.__('The key of its messages'),
      body: (
        <>
          <p>
            {trans.__(
              'Each message is signed with this key, as standardwebhooks.com says. It is shown only now.'
            )}
          </p>
          <p>
            <code>{made.signing_key}</code>
          </p>
        </>
      ),
      buttons: [Dialog.okButton({ label: trans.__('Done') })]
    });
  }
  return made;
}

/** Say what of a run somebody is told. */
export function eventWords(event: Event, trans: TranslationBundle): string {
  return {
    started: trans.__('it starts'),
    succeeded: trans.__('it succeeds'),
    failed: trans.__('it fails'),
    late: trans.__('it is late'),
    recovered: trans.__('it succeeds after a failure')
  }[event];
}

function NotifyFields({ value, onChange, problem }: IFieldsProps<IDraft>): ReactElement {
  const { trans } = usePerijove();
  const webhook = value.channel === 'webhook';
  return (
    <>
      <SelectField
        name="channel"
        label={trans.__('By')}
        problem={problem}
        value={value.channel}
        onChange={channel => onChange({ channel })}
        choices={[
          ['webhook', trans.__('webhook')],
          ['email', trans.__('e-mail')]
        ]}
      />
      <TextField
        name="target"
        label={webhook ? trans.__('URL') : trans.__('Address')}
        help={
          webhook
            ? trans.__('https:// and a public host. It is kept encrypted and never shown again.')
            : trans.__('of a domain that an administrator lists')
        }
        placeholder={webhook ? 'https://' : ''}
        code={webhook}
        problem={problem}
        value={value.target}
        onChange={target => onChange({ target })}
      />
      <Field name="on" label={trans.__('When')} problem={problem}>
        {attributes => (
          <div role="group" aria-describedby={attributes['aria-describedby']} id={attributes.id}>
            {EVENTS.map(event => (
              <label className="pj-Check" key={event}>
                <input
                  type="checkbox"
                  checked={value.on.includes(event)}
                  onChange={({ target }) =>
                    onChange({
                      on: EVENTS.filter(one =>
                        one === event ? target.checked : value.on.includes(one)
                      )
                    })
                  }
                />
                {eventWords(event, trans)}
              </label>
            ))}
          </div>
        )}
      </Field>
      {value.on.includes('late') && (
        <SpanField
          name="late_after_s"
          label={trans.__('Late after')}
          help={trans.__('from its slot, or from when the run was queued')}
          problem={problem}
          value={value.late}
          onChange={late => onChange({ late })}
        />
      )}
    </>
  );
}
