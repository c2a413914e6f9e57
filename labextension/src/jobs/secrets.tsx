import { useState, type KeyboardEvent, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import { usePerijove } from '../ui/context';
import type { IFieldAttributes } from '../ui/form';
import { usePolled } from '../ui/polled';
import { listSecrets, putSecret } from './requests';

/** The choice that opens the entry of a new secret; no secret is called so. */
const NEW = '+';

/** The name of one of the caller's secrets, or a new one. */
export function SecretInput({
  attributes,
  value,
  nullable,
  onChange
}: {
  attributes: IFieldAttributes;
  /** A secret's name; empty for none chosen yet, null for none at all. */
  value: string | null;
  nullable: boolean;
  onChange: (name: string | null) => void;
}): ReactElement {
  const { api, trans } = usePerijove();
  const [adding, setAdding] = useState(false);
  const secrets = usePolled('secrets', () => listSecrets(api), { isLast: () => true });
  const names = secrets.data?.items.map(({ name }) => name) ?? [];
  const gone = value && secrets.data && !names.includes(value);
  return (
    <>
      <select
        {...attributes}
        className="pj-Input"
        value={adding ? NEW : (value ?? 'null')}
        onChange={({ target }) => {
          setAdding(target.value === NEW);
          if (target.value !== NEW) {
            onChange(target.value === 'null' ? null : target.value);
          }
        }}
      >
        {!nullable && <option value="">{trans.__('Choose one of your secrets…')}</option>}
        {nullable && <option value="null">{trans.__('None')}</option>}
        {value && !names.includes(value) && (
          <option value={value}>
            {gone ? trans.__('%1 (you have no such secret)', value) : value}
          </option>
        )}
        {names.map(name => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
        <option value={NEW}>{trans.__('New secret…')}</option>
      </select>
      {secrets.problem && (
        <span className="pj-Field-problem" role="alert">
          {secrets.problem.detail ?? secrets.problem.title}
        </span>
      )}
      {adding && (
        <NewSecret
          onDone={name => {
            setAdding(false);
            if (name) {
              secrets.refresh();
              onChange(name);
            }
          }}
        />
      )}
    </>
  );
}

/** Keep a secret; its value leaves this page for the control plane only. */
function NewSecret({ onDone }: { onDone: (name?: string) => void }): ReactElement {
  const { api, trans } = usePerijove();
  const [name, setName] = useState('');
  const [secret, setSecret] = useState('');
  const [problem, setProblem] = useState<IProblem>();
  const [busy, setBusy] = useState(false);
  const save = (): void => {
    setBusy(true);
    putSecret(api, name, secret).then(
      () => onDone(name),
      (error: unknown) => {
        setBusy(false);
        setProblem(asProblem(error));
      }
    );
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Enter' && name && secret && !busy) {
      event.preventDefault();
      save();
    }
  };
  return (
    <div className="pj-NewSecret" role="group" aria-label={trans.__('New secret')} data-own-enter>
      <div className="pj-Field-row" onKeyDown={onKeyDown}>
        <input
          className="pj-Input pj-mod-code"
          aria-label={trans.__('Name of the secret')}
          placeholder={trans.__('NAME')}
          spellCheck={false}
          autoComplete="off"
          value={name}
          onChange={({ target }) => setName(target.value.toUpperCase())}
        />
        <input
          className="pj-Input"
          type="password"
          aria-label={trans.__('Value of the secret')}
          placeholder={trans.__('Value')}
          autoComplete="new-password"
          value={secret}
          onChange={({ target }) => setSecret(target.value)}
        />
      </div>
      <p className={problem ? 'pj-Field-problem' : 'pj-Field-help'} role={problem && 'alert'}>
        {problem
          ? [problem.detail ?? problem.title, problem.fix].filter(Boolean).join(' ')
          : trans.__(
              'Kept encrypted, and never shown again. Runs read it; their records only name it.'
            )}
      </p>
      <div className="pj-Field-row">
        <button
          type="button"
          className="pj-Button pj-mod-small"
          disabled={busy || !name || !secret}
          onClick={save}
        >
          {trans.__('Save secret')}
        </button>
        <button type="button" className="pj-Button pj-mod-small" onClick={() => onDone()}>
          {trans.__('Not now')}
        </button>
      </div>
    </div>
  );
}
