import { useState, type ReactElement } from 'react';

import type { IProblem } from '../api/requests';
import type { Parameter } from '../api/types';
import { usePerijove } from '../ui/context';
import { Field, type IFieldAttributes } from '../ui/form';
import { SecretInput } from './secrets';
import { AS_JSON, CHOSEN, isComputed, type Raw } from './values';

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
    <div className="pj-ParameterGrid">
      {parameters.map(parameter => (
        <ParameterField
          key={parameter.name}
          field={field}
          parameter={parameter}
          value={value[parameter.name] ?? (parameter.nullable ? null : '')}
          onChange={raw => onChange({ ...value, [parameter.name]: raw })}
          problem={problem}
        />
      ))}
    </div>
  );
}

interface IFieldProps extends Omit<IInputProps, 'attributes' | 'long'> {
  field: string;
  problem?: IProblem;
}

function ParameterField({ field, problem, ...input }: IFieldProps): ReactElement {
  const { parameter, value } = input;
  // Once a text has lines, its input keeps room for them: it must not turn into another one.
  const [lines, setLines] = useState(false);
  if (!lines && typeof value === 'string' && value.includes('\n')) {
    setLines(true);
  }
  const long = isLong(parameter) || (lines && parameter.type === 'str');
  return (
    <Field
      name={`${field}.${parameter.name}`}
      label={parameter.name}
      wide={long || parameter.type === 'secret'}
      help={<Help parameter={parameter} />}
      problem={problem}
    >
      {attributes =>
        parameter.nullable && !isChosen(parameter) ? (
          <Nullable {...{ attributes, long }} {...input} />
        ) : (
          <ParameterInput {...{ attributes, long }} {...input} />
        )
      }
    </Field>
  );
}

/** What a parameter is, without an input: when there is nothing to choose yet. */
export function ParameterList({ parameters }: { parameters: Parameter[] }): ReactElement {
  const { trans } = usePerijove();
  return (
    <ul className="pj-Parameters" aria-label={trans.__('Parameters')}>
      {parameters.map(parameter => (
        <li key={parameter.name}>
          <code>{parameter.name}</code>
          <span className="pj-Parameters-type">{typeWords(parameter)}</span>
          <span className="pj-Parameters-help" title={parameter.help}>
            {parameter.help}
          </span>
          <Default parameter={parameter} />
        </li>
      ))}
    </ul>
  );
}

function Default({ parameter }: { parameter: Parameter }): ReactElement {
  const { trans } = usePerijove();
  if (parameter.required || isComputed(parameter)) {
    return (
      <span className="pj-Parameters-type pj-Parameters-default">
        {parameter.required ? trans.__('required') : trans.__('computed')}
      </span>
    );
  }
  const text = shown(parameter);
  return (
    <code className="pj-Parameters-default" title={text}>
      {text}
    </code>
  );
}

function Help({ parameter }: { parameter: Parameter }): ReactElement {
  const { trans } = usePerijove();
  const usual = parameter.required
    ? trans.__('required')
    : isComputed(parameter)
      ? trans.__('left empty, the notebook computes it')
      : trans.__('default %1', shown(parameter));
  return <>{[parameter.help, typeWords(parameter), usual].filter(Boolean).join(' · ')}</>;
}

/** A default as people read it: in quotes only where it may be any text. */
function shown({ type, default: usual }: Parameter): string {
  if (usual === null || usual === undefined) {
    return 'None';
  }
  if (Number.isInteger(usual) && !Number.isSafeInteger(usual)) {
    // The browser knows it only roughly; left alone, the notebook has it exactly.
    return `≈ ${Number(usual).toExponential(4)}`;
  }
  const isText = typeof usual === 'string' && type !== 'str' && !AS_JSON.has(type);
  return isText ? usual : JSON.stringify(usual);
}

function typeWords({ type, nullable }: Parameter): string {
  return nullable ? `${type} | None` : type;
}

/** Whether it takes more than a line by itself: an input of one line would join the lines of a text. */
function isLong({ type, default: usual }: Parameter): boolean {
  return AS_JSON.has(type) || (type === 'str' && typeof usual === 'string' && usual.includes('\n'));
}

/** Whether no value is one of the choices, so that it needs no tick of its own. */
function isChosen(parameter: Parameter): boolean {
  return CHOSEN.has(parameter.type) || parameter.type === 'bool';
}

interface IInputProps {
  attributes: IFieldAttributes;
  parameter: Parameter;
  /** Whether it takes more than a line. */
  long: boolean;
  value: Raw;
  onChange: (raw: Raw) => void;
}

/** An input, and a tick for no value at all. */
function Nullable({ attributes, long, parameter, value, onChange }: IInputProps): ReactElement {
  const { trans } = usePerijove();
  return (
    <div className="pj-Nullable">
      <ParameterInput {...{ attributes, long, parameter, value, onChange }} />
      <label className="pj-Check">
        <input
          type="checkbox"
          aria-label={trans.__('No value for %1', parameter.name)}
          checked={value === null}
          onChange={({ target }) => onChange(target.checked ? null : '')}
        />
        {trans.__('None')}
      </label>
    </div>
  );
}

function ParameterInput(props: IInputProps): ReactElement {
  const { attributes, long, parameter, value, onChange } = props;
  switch (parameter.type) {
    case 'bool':
      return <BoolInput {...props} />;
    case 'choice':
      return <ChoiceInput {...props} />;
    case 'secret':
      return (
        <SecretInput
          attributes={attributes}
          value={typeof value === 'string' ? value : null}
          nullable={parameter.nullable}
          onChange={onChange}
        />
      );
  }
  const text = typeof value === 'string' ? value : '';
  const common = {
    ...attributes,
    disabled: value === null,
    spellCheck: false,
    value: text
  };
  if (long) {
    return (
      <textarea
        {...common}
        className="pj-Input pj-mod-code"
        rows={text.length > 60 || text.includes('\n') ? 4 : 2}
        placeholder={{ list: '["a", "b"]', dict: '{"a": 1}' }[parameter.type as string]}
        onChange={({ target }) => onChange(target.value)}
      />
    );
  }
  const number = parameter.type === 'int' || parameter.type === 'float';
  return (
    <input
      {...common}
      className={`pj-Input ${number ? 'pj-mod-number' : ''}`}
      type={inputType(parameter)}
      step={parameter.type === 'datetime' ? 1 : undefined}
      inputMode={number ? 'decimal' : undefined}
      autoComplete="off"
      onChange={({ target }) => onChange(target.value)}
    />
  );
}

/** A moment as the browser's own picker knows it: without an offset, to the second. */
const LOCAL = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/;

function inputType({ type, default: usual }: Parameter): string {
  if (type === 'date') {
    return 'date';
  }
  // By the default, not by what is typed: an input must not turn into another one.
  const pickable = typeof usual !== 'string' || LOCAL.test(usual);
  return type === 'datetime' && pickable ? 'datetime-local' : 'text';
}

/** A box to tick, or a choice where neither yes nor no is the default. */
function BoolInput({ attributes, parameter, value, onChange }: IInputProps): ReactElement {
  const { trans } = usePerijove();
  if (typeof parameter.default === 'boolean' && !parameter.nullable) {
    return (
      <input
        {...attributes}
        type="checkbox"
        checked={value === true}
        onChange={({ target }) => onChange(target.checked)}
      />
    );
  }
  return (
    <select
      {...attributes}
      className="pj-Input"
      value={String(value)}
      onChange={({ target }) =>
        onChange(target.value === 'null' ? null : target.value && target.value === 'true')
      }
    >
      {!parameter.nullable && (
        <option value="">
          {isComputed(parameter) ? trans.__('As the notebook computes it') : trans.__('Choose…')}
        </option>
      )}
      {parameter.nullable && <option value="null">{trans.__('None')}</option>}
      <option value="true">{trans.__('Yes')}</option>
      <option value="false">{trans.__('No')}</option>
    </select>
  );
}

function ChoiceInput({ attributes, parameter, value, onChange }: IInputProps): ReactElement {
  const { trans } = usePerijove();
  return (
    <select
      {...attributes}
      className="pj-Input"
      value={value === null ? 'null' : String(value)}
      onChange={({ target }) => onChange(target.value === 'null' ? null : target.value)}
    >
      {value === '' && <option value="">{trans.__('Choose…')}</option>}
      {parameter.nullable && <option value="null">{trans.__('None')}</option>}
      {parameter.choices.map(choice => (
        <option key={JSON.stringify(choice)} value={JSON.stringify(choice)}>
          {String(choice)}
        </option>
      ))}
    </select>
  );
}
