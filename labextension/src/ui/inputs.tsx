import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement, ReactNode } from 'react';

import { PerijoveError, type IProblem } from '../api/requests';
import { usePerijove } from './context';
import { Field } from './form';

interface IInputProps {
  /** The field, as the API calls it. */
  name: string;
  label: string;
  help?: ReactNode;
  problem?: IProblem;
}

/** A line of text, or a number that may still be wrong. */
export function TextField({
  value,
  onChange,
  code,
  numeric,
  placeholder,
  list,
  ...field
}: IInputProps & {
  value: string;
  onChange: (value: string) => void;
  code?: boolean;
  numeric?: boolean;
  placeholder?: string;
  /** The id of a `datalist`. */
  list?: string;
}): ReactElement {
  return (
    <Field {...field}>
      {attributes => (
        <input
          {...attributes}
          className={`pj-Input ${code ? 'pj-mod-code' : ''}`}
          inputMode={numeric ? 'numeric' : undefined}
          list={list}
          placeholder={placeholder}
          spellCheck={false}
          autoComplete="off"
          value={value}
          onChange={({ target }) => onChange(target.value)}
        />
      )}
    </Field>
  );
}

/** One of a few choices, each with its words. */
export function SelectField<T extends string>({
  value,
  onChange,
  choices,
  ...field
}: IInputProps & {
  value: T;
  onChange: (value: T) => void;
  choices: [T, string][];
}): ReactElement {
  return (
    <Field {...field}>
      {attributes => (
        <select
          {...attributes}
          className="pj-Input"
          value={value}
          onChange={({ target }) => onChange(target.value as T)}
        >
          {choices.map(([choice, words]) => (
            <option key={choice} value={choice}>
              {words}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A stretch of time as it is typed. */
export interface ISpan {
  /** A number, or empty for none. */
  amount: string;
  /** Seconds of the unit it is in. */
  unit: number;
}

/** Units of time, by their seconds. */
const UNITS = [1, 60, 3600, 86_400];
const LARGEST = [...UNITS].reverse();

/**
 * Write seconds as one types them, in the largest unit that has no fraction.
 *
 * @param usual - The unit for none, in seconds.
 */
export function spanOf(seconds: number | null | undefined, usual = 60): ISpan {
  if (seconds === null || seconds === undefined) {
    return { amount: '', unit: usual };
  }
  const unit = seconds === 0 ? usual : (LARGEST.find(one => seconds % one === 0) ?? 1);
  return { amount: String(seconds / unit), unit };
}

/**
 * Read a stretch of time in whole seconds; null for none.
 *
 * @throws `PerijoveError` at `field` when it is no number.
 */
export function secondsOf(
  { amount, unit }: ISpan,
  field: string,
  trans: TranslationBundle
): number | null {
  const number = readNumber(amount, field, trans);
  return number === null ? null : Math.round(number * unit);
}

/** Say a stretch of time in words. */
export function spanWords(seconds: number, trans: TranslationBundle): string {
  const { amount, unit } = spanOf(seconds);
  return `${amount} ${unitWord(unit, Number(amount), trans)}`;
}

/** A stretch of time: a number and its unit. */
export function SpanField({
  value,
  onChange,
  placeholder,
  ...field
}: IInputProps & {
  value: ISpan;
  onChange: (value: ISpan) => void;
  /** What none stands for. */
  placeholder?: string;
}): ReactElement {
  const { trans } = usePerijove();
  return (
    <Field {...field}>
      {attributes => (
        <div className="pj-Span">
          <input
            {...attributes}
            className="pj-Input"
            inputMode="decimal"
            autoComplete="off"
            placeholder={placeholder}
            value={value.amount}
            onChange={({ target }) => onChange({ ...value, amount: target.value })}
          />
          <select
            className="pj-Input"
            aria-label={trans.__('Unit of “%1”', field.label)}
            value={value.unit}
            onChange={({ target }) => onChange({ ...value, unit: Number(target.value) })}
          >
            {UNITS.map(unit => (
              <option key={unit} value={unit}>
                {unitWord(unit, 2, trans)}
              </option>
            ))}
          </select>
        </div>
      )}
    </Field>
  );
}

/**
 * Read a number that may be left out; null for none.
 *
 * @throws `PerijoveError` at `field` when it is something else.
 */
export function readNumber(text: string, field: string, trans: TranslationBundle): number | null {
  const trimmed = text.trim();
  if (!trimmed) {
    return null;
  }
  const number = Number(trimmed);
  if (!Number.isFinite(number)) {
    const detail = trans.__('“%1” is not a number.', trimmed);
    throw new PerijoveError({ title: detail, detail, status: 0, field });
  }
  return number;
}

function unitWord(unit: number, count: number, trans: TranslationBundle): string {
  switch (unit) {
    case 1:
      return trans._n('second', 'seconds', count);
    case 60:
      return trans._n('minute', 'minutes', count);
    case 3600:
      return trans._n('hour', 'hours', count);
    default:
      return trans._n('day', 'days', count);
  }
}
