import type { ReactElement } from 'react';

import type { Deployment, Model, Principal } from '../api/types';
import { imageHere } from '../images/here';
import { whoami } from '../jobs/requests';
import type { IPerijove } from '../tokens';
import { usePerijove } from '../ui/context';
import { Field, showForm, type IFieldsProps } from '../ui/form';
import { SharingField, type ISharing } from '../ui/sharing';
import { deploy } from './requests';

interface IDraft {
  model: string;
  version: number;
  name: string;
  sharing: ISharing;
}

/**
 * Ask which version to serve and for whom, serve it, and open the deployment.
 *
 * @param models - The models to choose from.
 * @param model - The one to start with.
 * @param version - Its version to start with; the newest when left out.
 */
export async function deployModel(
  perijove: IPerijove,
  models: Model[],
  model: Model,
  version = model.versions[0]?.version ?? 1
): Promise<void> {
  const { actions, api, trans } = perijove;
  const caller = await whoami(api);
  const deployment = await showForm<IDraft, Deployment>(perijove, {
    title: trans.__('Deploy a model'),
    accept: trans.__('Deploy'),
    names: ['model', 'version', 'name', 'visibility', 'group'],
    initial: {
      model: model.name,
      version,
      name: '',
      sharing: { visibility: null, group: null }
    },
    Fields: fields => <DeployFields {...fields} models={models} caller={caller} />,
    submit: ({ sharing, name, ...rest }, key) =>
      deploy(api, { ...rest, ...sharing, name: name || null, image: imageHere() }, key)
  });
  if (deployment) {
    actions.open({ kind: 'deployment', id: deployment.name, title: deployment.name });
  }
}

function DeployFields({
  value,
  onChange,
  problem,
  models,
  caller
}: IFieldsProps<IDraft> & { models: Model[]; caller: Principal }): ReactElement {
  const { trans } = usePerijove();
  const versions = models.find(model => model.name === value.model)?.versions ?? [];
  return (
    <>
      <Field name="model" label={trans.__('Model')} problem={problem}>
        {attributes => (
          <select
            {...attributes}
            className="pj-Input"
            value={value.model}
            onChange={({ target }) => {
              const chosen = models.find(model => model.name === target.value);
              onChange({ model: target.value, version: chosen?.versions[0]?.version ?? 1 });
            }}
          >
            {models.map(model => (
              <option key={model.name}>{model.name}</option>
            ))}
          </select>
        )}
      </Field>
      <Field name="version" label={trans.__('Version')} problem={problem}>
        {attributes => (
          <select
            {...attributes}
            className="pj-Input"
            value={value.version}
            onChange={({ target }) => onChange({ version: Number(target.value) })}
          >
            {versions.map(({ version, aliases }) => (
              <option key={version} value={version}>
                {[version, ...aliases].join(' · ')}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field
        name="name"
        label={trans.__('Deploy as')}
        help={trans.__('Part of the URL. A name you already use moves to this version.')}
        problem={problem}
      >
        {attributes => (
          <input
            {...attributes}
            className="pj-Input"
            spellCheck={false}
            placeholder={trans.__('after the model')}
            value={value.name}
            onChange={({ target }) => onChange({ name: target.value })}
          />
        )}
      </Field>
      <SharingField
        value={value.sharing}
        groups={caller.groups}
        problem={problem}
        onChange={sharing => onChange({ sharing })}
      />
    </>
  );
}
