import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IProblem } from '../api/requests';
import type { Visibility } from '../api/types';
import { usePerijove } from './context';
import { Field } from './form';

/** With whom a thing is to be shared; null leaves it as it is, and a new thing private. */
export interface ISharing {
  visibility: Visibility | null;
  group: string | null;
  /** A group that is to own it as well; jobs only. */
  owner_group?: string | null;
}

/** Say with whom something is shared. */
export function sharedWith(
  sharing: { visibility: Visibility; group?: string | null; owner_group?: string | null },
  trans: TranslationBundle
): string {
  if (sharing.owner_group) {
    return trans.__('owned with %1', sharing.owner_group);
  }
  switch (sharing.visibility) {
    case 'everyone':
      return trans.__('shared with everyone');
    case 'group':
      return trans.__('shared with %1', sharing.group ?? '');
    case 'private':
      return trans.__('private');
  }
}

/** Choose who besides the owner may see something. */
export function SharingField({
  value,
  groups,
  owning = false,
  now,
  problem,
  onChange
}: {
  value: ISharing;
  /** The caller's groups. */
  groups: string[];
  /** Whether a group may own it. */
  owning?: boolean;
  /** How it is now, in words; without, it may be new. */
  now?: string;
  problem?: IProblem;
  onChange: (sharing: ISharing) => void;
}): ReactElement {
  const { trans } = usePerijove();
  const seen =
    value.visibility === 'group' ? `group:${value.group ?? ''}` : (value.visibility ?? '');
  const chosen = value.owner_group ? `owner:${value.owner_group}` : seen;
  const name = ['group', 'owner_group'].find(one => one === problem?.field) ?? 'visibility';
  return (
    <Field name={name} label={trans.__('Who may see it')} problem={problem}>
      {attributes => (
        <select
          {...attributes}
          className="pj-Input"
          value={chosen}
          onChange={({ target }) => {
            const [visibility, group] = target.value.split(/:(.*)/s);
            onChange(
              visibility === 'owner'
                ? { visibility: null, group: null, owner_group: group }
                : {
                    visibility: (visibility || null) as ISharing['visibility'],
                    group: group ?? null
                  }
            );
          }}
        >
          <option value="">
            {now ? trans.__('As it is now: %1', now) : trans.__('As before; at first only me')}
          </option>
          <option value="private">{trans.__('Only me')}</option>
          {groups.map(group => (
            <option key={group} value={`group:${group}`}>
              {trans.__('Group %1', group)}
            </option>
          ))}
          <option value="everyone">{trans.__('Everyone')}</option>
          {owning &&
            groups.map(group => (
              <option key={group} value={`owner:${group}`}>
                {trans.__('Group %1, which owns it with me', group)}
              </option>
            ))}
        </select>
      )}
    </Field>
  );
}
