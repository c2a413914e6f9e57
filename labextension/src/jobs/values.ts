import type { TranslationBundle } from '@jupyterlab/translation';

import { PerijoveError } from '../api/requests';
import type { Parameter } from '../api/types';

/** What stands in a parameter's input: text, or a checkbox's state. */
export type Raw = string | boolean;

/** Types whose values are written as JSON. */
const AS_JSON = new Set<Parameter['type']>(['any', 'dict', 'list']);

/**
 * Write a value as its input shows it.
 *
 * @param parameter - Whose value it is.
 * @param value - A value of the parameter's type; undefined for none.
 */
export function toRaw(parameter: Parameter, value: unknown): Raw {
  if (parameter.type === 'bool') {
    return value === true;
  }
  if (parameter.type === 'choice') {
    return value === undefined ? '' : JSON.stringify(value);
  }
  if (value === null || value === undefined) {
    return '';
  }
  if (typeof value === 'string' && !AS_JSON.has(parameter.type)) {
    return value;
  }
  return JSON.stringify(value);
}

/** What the inputs show at first: the given values, else the defaults. */
export function initialRaw(
  parameters: Parameter[],
  values: Record<string, unknown> = {}
): Record<string, Raw> {
  return Object.fromEntries(
    parameters.map(parameter => [
      parameter.name,
      toRaw(parameter, parameter.name in values ? values[parameter.name] : parameter.default)
    ])
  );
}

/**
 * Read the inputs; what was left at its default is left out.
 *
 * @param field - Where the values will be in the request, such as `parameters`.
 * @throws `PerijoveError` that names the field at fault.
 */
export function parseValues(
  parameters: Parameter[],
  raw: Record<string, Raw>,
  field: string,
  trans: TranslationBundle
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const parameter of parameters) {
    const text = raw[parameter.name] ?? '';
    if (parameter.required || text !== toRaw(parameter, parameter.default)) {
      try {
        values[parameter.name] = parse(parameter, text, trans);
      } catch (error) {
        const detail = (error as Error).message;
        throw new PerijoveError({
          title: detail,
          detail,
          status: 0,
          field: `${field}.${parameter.name}`
        });
      }
    }
  }
  return values;
}

function parse(parameter: Parameter, raw: Raw, trans: TranslationBundle): unknown {
  if (typeof raw === 'boolean') {
    return raw;
  }
  const text = raw.trim();
  if (parameter.type === 'str') {
    return raw;
  }
  if (!text) {
    if (parameter.nullable) {
      return null;
    }
    throw new Error(trans.__('%1 needs a value.', parameter.name));
  }
  switch (parameter.type) {
    case 'int':
    case 'float':
      return parseNumber(parameter, text, trans);
    case 'date':
    case 'datetime':
      return text;
    default:
      try {
        return JSON.parse(text) as unknown;
      } catch {
        throw new Error(trans.__('%1 is not JSON, such as [1, 2] or {"a": "b"}.', parameter.name));
      }
  }
}

function parseNumber(parameter: Parameter, text: string, trans: TranslationBundle): number {
  const value = Number(text);
  if (!Number.isFinite(value)) {
    throw new Error(trans.__('%1 is not a number: %2', parameter.name, text));
  }
  if (parameter.type === 'int' && !Number.isInteger(value)) {
    throw new Error(trans.__('%1 is not a whole number: %2', parameter.name, text));
  }
  return value;
}
