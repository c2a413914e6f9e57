import type { TranslationBundle } from '@jupyterlab/translation';

import { PerijoveError } from '../api/requests';
import type { Parameter } from '../api/types';

/** What stands in a parameter's input: text, a checkbox's state, or null for no value. */
export type Raw = string | boolean | null;

/** Types whose values are written as JSON. */
export const AS_JSON: ReadonlySet<Parameter['type']> = new Set(['any', 'dict', 'list']);

/** Types that are chosen from a list, in which no value is one of the choices. */
export const CHOSEN: ReadonlySet<Parameter['type']> = new Set(['choice', 'secret']);

/** Whether a notebook works a parameter's default out, so that nobody here knows it. */
export function isComputed({ default: usual, nullable, required }: Parameter): boolean {
  return !required && !nullable && (usual === null || usual === undefined);
}

/**
 * Write a value as its input shows it.
 *
 * @param parameter - Whose value it is.
 * @param value - A value of the parameter's type; undefined for none.
 */
export function toRaw(parameter: Parameter, value: unknown): Raw {
  if (value === null && parameter.nullable) {
    return null;
  }
  if (value === null || value === undefined) {
    return '';
  }
  if (parameter.type === 'bool') {
    return value === true;
  }
  if (parameter.type === 'choice') {
    return JSON.stringify(value);
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
      parameter.name in values
        ? toRaw(parameter, values[parameter.name])
        : parameter.required
          ? ''
          : toRaw(parameter, parameter.default)
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
    const text = raw[parameter.name] ?? (parameter.nullable ? null : '');
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
  if (raw === null || typeof raw === 'boolean' || (parameter.type === 'str' && raw)) {
    return raw;
  }
  const text = raw.trim();
  if (!text) {
    // An empty text is a text, unless there is none by default: then it was not filled in.
    if (parameter.type === 'str' && !parameter.required) {
      return raw;
    }
    throw new Error(missing(parameter, trans));
  }
  switch (parameter.type) {
    case 'int':
    case 'float':
      return parseNumber(parameter, text, trans);
    case 'date':
    case 'datetime':
    case 'secret':
      return text;
    case 'bool':
      return text === 'true';
    default:
      return parseJson(parameter, text, trans);
  }
}

function missing({ name, nullable, type }: Parameter, trans: TranslationBundle): string {
  if (CHOSEN.has(type) || type === 'bool') {
    return trans.__('Choose a value for %1.', name);
  }
  return nullable
    ? trans.__('%1 needs a value, or a tick at “None”.', name)
    : trans.__('%1 needs a value.', name);
}

function parseNumber(parameter: Parameter, text: string, trans: TranslationBundle): number {
  const value = Number(text);
  if (!Number.isFinite(value)) {
    throw new Error(trans.__('%1 is not a number: %2', parameter.name, text));
  }
  if (parameter.type === 'int') {
    if (!Number.isInteger(value)) {
      throw new Error(trans.__('%1 is not a whole number: %2', parameter.name, text));
    }
    checkExact(parameter.name, value, trans);
  }
  return value;
}

/** Refuse whole numbers, also deep inside, that a browser would change to others near them. */
function checkExact(name: string, value: unknown, trans: TranslationBundle): void {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(one => checkExact(name, one, trans));
  } else if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new Error(
      trans.__(
        '%1 has a number of more than 15 digits, which a browser cannot keep: give it by “%job” or in a shell.',
        name
      )
    );
  }
}

function parseJson({ name, type }: Parameter, text: string, trans: TranslationBundle): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(trans.__('%1 is not JSON, such as [1, 2] or {"a": "b"}.', name));
  }
  checkExact(name, value, trans);
  const isObject = typeof value === 'object' && value !== null;
  if (type === 'list' && !Array.isArray(value)) {
    throw new Error(trans.__('%1 is not a list, such as [1, 2] or ["a", "b"].', name));
  }
  if (type === 'dict' && (!isObject || Array.isArray(value))) {
    throw new Error(trans.__('%1 is not an object, such as {"a": 1}.', name));
  }
  return value;
}
