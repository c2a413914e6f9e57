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
}

/** Say with whom something is shared. */
export function sharedWith(
  sharing: { visibility: Visibility; group?: string | null },
  trans: TranslationBundle
): string {
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
  problem,
  onChange
}: {
  value: ISharing;
  /** The caller's groups. */
  groups: string[];
  problem?: IProblem;
  onChange: (sharing: ISharing) => void;
}): ReactElement {
  const { trans } = usePerijove();
  const chosen =
    value.visibility === 'group' ? `group:${value.group ?? ''}` : (value.visibility ?? '');
  const name = problem?.field === 'group' ? 'group' : 'visibility';
  return (
    <Field name={name} label={trans.__('Who may see it')} problem={problem}>
      {attributes => (
        <select
          {...attributes}
          className="pj-Input"
          value={chosen}
          onChange={({ target }) => {
            const [visibility, group] = target.value.split(/:(.*)/s);
            onChange({
              visibility: (visibility || null) as ISharing['visibility'],
              group: group ?? null
            });
          }}
        >
          <option value="">{trans.__('As before; at first only me')}</option>
          <option value="private">{trans.__('Only me')}</option>
          {groups.map(group => (
            <option key={group} value={`group:${group}`}>
              {trans.__('Group %1', group)}
            </option>
          ))}
          <option value="everyone">{trans.__('Everyone')}</option>
        </select>
      )}
    </Field>
  );
}
