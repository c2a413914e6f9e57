import type { TranslationBundle } from '@jupyterlab/translation';

import { PerijoveError } from '../api/requests';
import type { BackfillCreate, Job, Parameter } from '../api/types';
import { readNumber } from '../ui/inputs';
import { zoneHere } from './scheduleDraft';
import { AS_JSON, initialRaw, parseValues, type Raw } from './values';

/** Which slots a range has. */
export type Step = 'own' | 'day' | 'hour' | 'seconds' | 'cron';

/** A backfill as its form holds it: what another kind needs is kept while one looks around. */
export interface IBackfillDraft {
  kind: 'slots' | 'range';
  start: string;
  end: string;
  step: Step;
  seconds: string;
  cron: string;
  timezone: string;
  /** By parameter: `date`, `datetime` or a format; empty for one that is not bound. */
  bind: Record<string, string>;
  /** The parameter that a range is over. */
  parameter: string;
  how: 'values' | 'steps';
  values: string;
  first: string;
  stop: string;
  by: string;
  reprocess: BackfillCreate['reprocess'];
  concurrency: string;
  priority: string;
  reverse: boolean;
  raw: Record<string, Raw>;
}

/** Types whose parameters can get a slot without a format. */
const DATES: Partial<Record<Parameter['type'], string>> = { date: 'date', datetime: 'datetime' };
const BINDABLE: ReadonlySet<Parameter['type']> = new Set(['any', 'date', 'datetime', 'int', 'str']);

/** Parameters that can get the slot. */
export function bindable(job: Job): Parameter[] {
  return job.latest.parameters.filter(({ type }) => BINDABLE.has(type));
}

/** Start with the last week, and with dates bound to the slot. */
export function draftOf(job: Job): IBackfillDraft {
  const { parameters } = job.latest;
  const timed = !!job.schedule?.cron || !!job.schedule?.every_s;
  const varied = parameters.find(({ type }) => type !== 'secret');
  return {
    kind: 'slots',
    start: day(-7),
    end: day(0),
    step: timed ? 'own' : 'day',
    seconds: '3600',
    cron: job.schedule?.cron ?? '0 6 * * *',
    timezone: job.schedule?.cron ? job.schedule.timezone : zoneHere(),
    bind: Object.fromEntries(
      parameters.flatMap(({ name, type }) => (DATES[type] ? [[name, DATES[type]]] : []))
    ),
    parameter: varied?.name ?? '',
    how: 'values',
    values: '',
    first: '',
    stop: '',
    by: '1',
    reprocess: 'none',
    concurrency: '2',
    priority: '-10',
    reverse: false,
    raw: initialRaw(parameters)
  };
}

/** The parameters that have one value for every run. */
export function fixed(job: Job, draft: IBackfillDraft): Parameter[] {
  return job.latest.parameters.filter(({ name }) =>
    draft.kind === 'slots' ? !draft.bind[name] : name !== draft.parameter
  );
}

/**
 * Write a draft as the API takes it.
 *
 * @throws `PerijoveError` that names the field at fault.
 */
export function bodyOf(
  job: Job,
  draft: IBackfillDraft,
  dryRun: boolean,
  trans: TranslationBundle
): BackfillCreate {
  const bound = Object.entries(draft.bind).filter(([, form]) => form);
  const isSlots = draft.kind === 'slots';
  return {
    slots: isSlots ? slotsOf(draft, trans) : null,
    range: isSlots ? null : rangeOf(job, draft, trans),
    bind: isSlots ? Object.fromEntries(bound) : {},
    parameters: parseValues(fixed(job, draft), draft.raw, 'parameters', trans),
    reprocess: draft.reprocess,
    concurrency: readNumber(draft.concurrency, 'concurrency', trans) ?? 2,
    reverse: draft.reverse,
    priority: readNumber(draft.priority, 'priority', trans) ?? -10,
    dry_run: dryRun
  };
}

function slotsOf(draft: IBackfillDraft, trans: TranslationBundle): BackfillCreate['slots'] {
  const { step } = draft;
  for (const field of ['start', 'end'] as const) {
    if (!draft[field]) {
      throw wrong(`slots.${field}`, trans.__('Choose a day.'));
    }
  }
  const every =
    step === 'seconds'
      ? readNumber(draft.seconds, 'slots.every', trans)
      : step === 'day' || step === 'hour'
        ? step
        : null;
  return {
    start: draft.start,
    end: draft.end,
    cron: step === 'cron' ? draft.cron.trim() : null,
    every,
    timezone: draft.timezone.trim() || null
  };
}

function rangeOf(
  job: Job,
  draft: IBackfillDraft,
  trans: TranslationBundle
): BackfillCreate['range'] {
  const parameter = job.latest.parameters.find(({ name }) => name === draft.parameter);
  if (!parameter) {
    throw wrong('range.parameter', trans.__('Choose a parameter.'));
  }
  if (draft.how === 'values') {
    const values = listOf(parameter, draft.values, 'range.values', trans);
    return { parameter: parameter.name, values, step: 1 };
  }
  const end = (field: 'start' | 'stop', text: string): number | string | null =>
    parameter.type === 'date' ? text.trim() || null : readNumber(text, `range.${field}`, trans);
  return {
    parameter: parameter.name,
    values: [],
    start: end('start', draft.first),
    stop: end('stop', draft.stop),
    step: readNumber(draft.by, 'range.step', trans) ?? 1
  };
}

/**
 * Read values that are written one after the other: with commas, or a JSON list.
 *
 * @throws `PerijoveError` at `field`.
 */
export function listOf(
  parameter: Parameter,
  text: string,
  field: string,
  trans: TranslationBundle
): unknown[] {
  const trimmed = text.trim();
  if (trimmed.startsWith('[') || AS_JSON.has(parameter.type)) {
    try {
      const read: unknown = JSON.parse(trimmed.startsWith('[') ? trimmed : `[${trimmed}]`);
      return Array.isArray(read) ? read : [read];
    } catch {
      throw wrong(field, trans.__('Write values with commas between, or a JSON list.'));
    }
  }
  const written = trimmed ? trimmed.split(',').map(one => one.trim()) : [];
  return written.map(one => {
    const value = parameter.type === 'choice' ? chosen(parameter, one) : one;
    if (['int', 'float'].includes(parameter.type)) {
      return readNumber(one, field, trans);
    }
    return parameter.type === 'bool' ? truth(one, field, trans) : value;
  });
}

function truth(text: string, field: string, trans: TranslationBundle): boolean {
  const word = text.toLowerCase();
  if (word !== 'true' && word !== 'false') {
    throw wrong(field, trans.__('“%1” is neither true nor false.', text));
  }
  return word === 'true';
}

function chosen({ choices }: Parameter, text: string): unknown {
  const found: unknown = choices.find(choice => String(choice) === text);
  return found ?? text;
}

function wrong(field: string, detail: string): PerijoveError {
  return new PerijoveError({ title: detail, detail, status: 0, field });
}

/** A day from today, as a date's input has it. */
function day(offset: number): string {
  const at = new Date();
  at.setDate(at.getDate() + offset);
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}
