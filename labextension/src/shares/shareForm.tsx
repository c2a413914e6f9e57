import type { ReactElement } from 'react';

import type { Principal, Share, ShareCreate } from '../api/types';
import { whoami } from '../jobs/requests';
import type { IPerijove } from '../tokens';
import { usePerijove } from '../ui/context';
import { Field, showForm, type IFieldsProps } from '../ui/form';
import { createShare } from './requests';

interface IDraft {
  /** A group of the caller's; null for one person. */
  group: string | null;
  receiver: string;
  message: string;
}

/**
 * Share a copy of a notebook with a person or a group.
 *
 * @param source - The file's path, and the notebook as it is now.
 * @returns The share, or null when the person changed their mind.
 */
export async function shareNotebook(
  perijove: IPerijove,
  source: { path: string; content: ShareCreate['notebook']; server: string }
): Promise<Share | null> {
  const { api, trans } = perijove;
  const caller = await whoami(api);
  const name = source.path.split('/').pop() ?? source.path;
  return showForm<IDraft, Share>(perijove, {
    title: trans.__('Share %1', name),
    accept: trans.__('Share'),
    names: ['receiver', 'group', 'message'],
    initial: { group: caller.groups[0] ?? null, receiver: '', message: '' },
    Fields: fields => <ShareFields {...fields} caller={caller} />,
    submit: ({ group, receiver, message }, key) =>
      createShare(
        api,
        {
          notebook: source.content,
          name,
          server: source.server,
          message,
          expires_days: 30,
          ...(group === null ? { receiver: receiver.trim() } : { group })
        },
        key
      )
  });
}

function ShareFields({
  value,
  onChange,
  problem,
  caller
}: IFieldsProps<IDraft> & { caller: Principal }): ReactElement {
  const { trans } = usePerijove();
  return (
    <>
      <p className="pj-Facts">
        {trans.__(
          'They get a copy as it is now, outputs included, and the name of the image it ran in. It can be taken for 30 days.'
        )}
      </p>
      <Field name="group" label={trans.__('With')} problem={problem}>
        {attributes => (
          <select
            {...attributes}
            className="pj-Input"
            value={value.group === null ? 'person' : `group:${value.group}`}
            onChange={({ target }) =>
              onChange({ group: target.value === 'person' ? null : target.value.slice(6) })
            }
          >
            {caller.groups.map(group => (
              <option key={group} value={`group:${group}`}>
                {trans.__('Everyone in %1', group)}
              </option>
            ))}
            <option value="person">{trans.__('One person')}</option>
          </select>
        )}
      </Field>
      {value.group === null && (
        <Field
          name="receiver"
          label={trans.__('User name')}
          help={trans.__('The name they log in with.')}
          problem={problem}
        >
          {attributes => (
            <input
              {...attributes}
              className="pj-Input"
              spellCheck={false}
              value={value.receiver}
              onChange={({ target }) => onChange({ receiver: target.value })}
            />
          )}
        </Field>
      )}
      <Field name="message" label={trans.__('Message (optional)')} problem={problem}>
        {attributes => (
          <textarea
            {...attributes}
            className="pj-Input"
            rows={3}
            value={value.message}
            onChange={({ target }) => onChange({ message: target.value })}
          />
        )}
      </Field>
    </>
  );
}
