import type { ReactElement } from 'react';

import type { IProblem } from '../api/requests';
import type { Parameter } from '../api/types';
import { usePerijove } from '../ui/context';
import { Field } from '../ui/form';
import { toRaw, type Raw } from './values';

interface IParameterFieldsProps {
  /** Where the values are in the request, such as `schedule.parameters`. */
  field: string;
  parameters: Parameter[];
  value: Record<string, Raw>;
  onChange: (value: Record<string, Raw>) => void;
  problem?: IProblem;
}

/** One input for each parameter, by its type. */
export function ParameterFields(props: IParameterFieldsProps): ReactElement {
  const { field, parameters, problem, value, onChange } = props;
  return (
    <>
      {parameters.map(parameter => (
        <Field
          key={parameter.name}
          name={`${field}.${parameter.name}`}
          label={parameter.name}
          help={<Help parameter={parameter} />}
          problem={problem}
        >
          {attributes => (
            <ParameterInput
              attributes={attributes}
              parameter={parameter}
              value={value[parameter.name] ?? ''}
              onChange={raw => onChange({ ...value, [parameter.name]: raw })}
            />
          )}
        </Field>
      ))}
    </>
  );
}

/** What a parameter is, without an input: when there is nothing to choose yet. */
export function ParameterList({ parameters }: { parameters: Parameter[] }): ReactElement {
  const { trans } = usePerijove();
  return (
    <ul className="pj-Parameters" aria-label={trans.__('Parameters')}>
      {parameters.map(parameter => (
        <li key={parameter.name} title={parameter.help}>
          <code>{parameter.name}</code>
          <span className="pj-Parameters-type">{parameter.type}</span>
          <span className="pj-Parameters-default">
            {parameter.required ? trans.__('required') : JSON.stringify(parameter.default ?? null)}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Help({ parameter }: { parameter: Parameter }): ReactElement {
  const { trans } = usePerijove();
  const fallback = parameter.required
    ? trans.__('required')
    : trans.__('default %1', JSON.stringify(parameter.default ?? null));
  return <>{[parameter.help, parameter.type, fallback].filter(Boolean).join(' · ')}</>;
}

function ParameterInput({
  attributes,
  parameter,
  value,
  onChange
}: {
  attributes: { id: string };
  parameter: Parameter;
  value: Raw;
  onChange: (raw: Raw) => void;
}): ReactElement {
  const { trans } = usePerijove();
  if (typeof value === 'boolean') {
    return (
      <input
        {...attributes}
        type="checkbox"
        checked={value}
        onChange={({ target }) => onChange(target.checked)}
      />
    );
  }
  if (parameter.type === 'choice') {
    return (
      <select
        {...attributes}
        className="pj-Input"
        value={value}
        onChange={({ target }) => onChange(target.value)}
      >
        {!value && <option value="">{trans.__('Choose…')}</option>}
        {parameter.nullable && <option value="null">{trans.__('None')}</option>}
        {parameter.choices.map(choice => (
          <option key={String(toRaw(parameter, choice))} value={String(toRaw(parameter, choice))}>
            {String(choice)}
          </option>
        ))}
      </select>
    );
  }
  if (['list', 'dict', 'any'].includes(parameter.type)) {
    return (
      <textarea
        {...attributes}
        className="pj-Input pj-mod-code"
        rows={2}
        spellCheck={false}
        value={value}
        onChange={({ target }) => onChange(target.value)}
      />
    );
  }
  const number = parameter.type === 'int' || parameter.type === 'float';
  return (
    <input
      {...attributes}
      className="pj-Input"
      type={parameter.type === 'date' ? 'date' : 'text'}
      inputMode={number ? 'decimal' : undefined}
      spellCheck={false}
      value={value}
      onChange={({ target }) => onChange(target.value)}
    />
  );
}
