import type { TranslationBundle } from '@jupyterlab/translation';

import { PerijoveError } from '../api/requests';
import type { Dimension, Job, Parameter, SweepCreate } from '../api/types';
import { readNumber } from '../ui/inputs';
import { listOf } from './backfillDraft';
import { initialRaw, parseValues, type Raw } from './values';

/** Where the values of one parameter come from, as the form holds it. */
export interface IDimensionDraft {
  /** `fixed`: it is not searched. */
  kind: Dimension['kind'] | 'fixed';
  values: string;
  low: string;
  high: string;
  /** Between two whole numbers; empty for 1. */
  step: string;
}

export interface ISweepDraft {
  method: SweepCreate['method'];
  /** By parameter's name. */
  space: Record<string, IDimensionDraft>;
  metric: string;
  goal: SweepCreate['goal'];
  trials: string;
  concurrency: string;
  failures: string;
  seed: string;
  priority: string;
  /** MLflow's; empty for the notebook's. */
  experiment: string;
  raw: Record<string, Raw>;
}

/** Parameters that can be searched. */
export function searchable(job: Job): Parameter[] {
  return job.latest.parameters.filter(({ type }) => type !== 'secret');
}

/** What a parameter can be drawn from, besides a list of values. */
export function kindsOf({ type }: Parameter, method: SweepCreate['method']): Dimension['kind'][] {
  if (method === 'grid') {
    return ['choice'];
  }
  switch (type) {
    case 'int':
      return ['choice', 'int'];
    case 'float':
    case 'any':
      return ['choice', 'int', 'uniform', 'loguniform'];
    default:
      return ['choice'];
  }
}

/** Start with the first number or choice that there is. */
export function draftOf(job: Job): ISweepDraft {
  const parameters = searchable(job);
  const first =
    parameters.find(({ type }) => ['choice', 'float', 'int'].includes(type)) ?? parameters[0];
  const metric = Object.keys(job.last_run?.metrics ?? {})[0];
  return {
    method: 'grid',
    space: Object.fromEntries(
      parameters.map(parameter => [
        parameter.name,
        {
          kind: parameter === first ? 'choice' : 'fixed',
          values: suggested(parameter),
          low: '',
          high: '',
          step: ''
        }
      ])
    ),
    metric: metric ?? '',
    goal: 'min',
    trials: '20',
    concurrency: '2',
    failures: '',
    seed: '0',
    priority: '-10',
    experiment: '',
    raw: initialRaw(job.latest.parameters)
  };
}

/** All values of a parameter that has few, as `listOf` reads them. */
function suggested({ choices, type }: Parameter): string {
  const words = type === 'bool' ? ['true', 'false'] : choices.map(String);
  return words.some(word => /^\[|,|^\s|\s$/.test(word))
    ? JSON.stringify(choices)
    : words.join(', ');
}

/** How many combinations a grid has; null as long as that cannot be read. */
export function gridSize(job: Job, draft: ISweepDraft, trans: TranslationBundle): number | null {
  try {
    const lengths = searched(job, draft).map(
      parameter => dimension(parameter, draft, trans).values.length
    );
    // Without anything to search there is no sweep, not one run.
    return lengths.length > 0 ? lengths.reduce((product, length) => product * length, 1) : null;
  } catch {
    return null;
  }
}

function searched(job: Job, draft: ISweepDraft): Parameter[] {
  return searchable(job).filter(({ name }) => draft.space[name]?.kind !== 'fixed');
}

/** The parameters that have one value for every run. */
export function fixed(job: Job, draft: ISweepDraft): Parameter[] {
  return job.latest.parameters.filter(
    ({ name }) => (draft.space[name]?.kind ?? 'fixed') === 'fixed'
  );
}

/**
 * Write a draft as the API takes it.
 *
 * @throws `PerijoveError` that names the field at fault.
 */
export function bodyOf(job: Job, draft: ISweepDraft, trans: TranslationBundle): SweepCreate {
  const chosen = searched(job, draft);
  if (chosen.length === 0) {
    throw wrong('space', trans.__('Choose at least one parameter to search.'));
  }
  if (!draft.metric.trim()) {
    throw wrong('metric', trans.__('Which %metric is to be the best?'));
  }
  const grid = draft.method === 'grid';
  return {
    method: draft.method,
    space: Object.fromEntries(
      chosen.map(parameter => [parameter.name, dimension(parameter, draft, trans)])
    ),
    metric: draft.metric.trim(),
    goal: draft.goal,
    trials: grid ? null : readNumber(draft.trials, 'trials', trans),
    concurrency: readNumber(draft.concurrency, 'concurrency', trans) ?? 2,
    max_failures: readNumber(draft.failures, 'max_failures', trans),
    seed: readNumber(draft.seed, 'seed', trans) ?? 0,
    parameters: parseValues(fixed(job, draft), draft.raw, 'parameters', trans),
    priority: readNumber(draft.priority, 'priority', trans) ?? -10,
    experiment: draft.experiment.trim() || null
  };
}

function dimension(parameter: Parameter, draft: ISweepDraft, trans: TranslationBundle): Dimension {
  const field = `space.${parameter.name}`;
  const { kind, values, low, high, step } = draft.space[parameter.name] as IDimensionDraft;
  if (kind === 'fixed' || kind === 'choice') {
    const read = listOf(parameter, values, `${field}.values`, trans);
    return { kind: 'choice', values: read, step: 1 };
  }
  return {
    kind,
    values: [],
    low: readNumber(low, `${field}.low`, trans),
    high: readNumber(high, `${field}.high`, trans),
    step: kind === 'int' ? (readNumber(step, `${field}.step`, trans) ?? 1) : 1
  };
}

function wrong(field: string, detail: string): PerijoveError {
  return new PerijoveError({ title: detail, detail, status: 0, field });
}
