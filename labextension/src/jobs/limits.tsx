import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IProblem } from '../api/requests';
import type { Policy, Resources } from '../api/types';
import { usePerijove } from '../ui/context';
import {
  readNumber,
  secondsOf,
  spanOf,
  SpanField,
  spanWords,
  TextField,
  type ISpan
} from '../ui/inputs';

/** Fields of limits and policy, as the API calls them. */
export const LIMIT_NAMES = [
  'resources.memory_mb',
  'resources.timeout_s',
  'resources.cell_timeout_s',
  'resources.max_output_mb',
  'policy.retries',
  'policy.retry_delay_s',
  'policy.retry_backoff',
  'policy.concurrency',
  'policy.priority',
  'policy.keep_days',
  'policy.keep_failed_days'
];

/** A job's limits as a form holds them: empty for what it is without a choice. */
export interface ILimitsDraft {
  memory: string;
  timeout: ISpan;
  cellTimeout: ISpan;
  output: string;
  retries: string;
  delay: ISpan;
  backoff: string;
  concurrency: string;
  priority: string;
  keep: string;
  keepFailed: string;
}

/** What a new job is without a choice. */
const USUAL = { priority: 0, retries: 0, retry_delay_s: 60, retry_backoff: 2 } satisfies Policy;

/** Write limits as the form holds them; none for what somebody promotes. */
export function limitsDraft(resources?: Resources, policy?: Policy): ILimitsDraft {
  const text = (value: number | null | undefined): string => String(value ?? '');
  return {
    memory: text(resources?.memory_mb),
    timeout: spanOf(resources?.timeout_s),
    cellTimeout: spanOf(resources?.cell_timeout_s),
    output: text(resources?.max_output_mb),
    retries: text(policy?.retries),
    delay: spanOf(policy?.retry_delay_s),
    backoff: text(policy?.retry_backoff),
    concurrency: text(policy?.concurrency),
    priority: text(policy?.priority),
    keep: text(policy?.keep_days),
    keepFailed: text(policy?.keep_failed_days)
  };
}

/**
 * Read what one run may use; null for the platform's own limits.
 *
 * @throws `PerijoveError` at the field that is no number.
 */
export function resourcesOf(draft: ILimitsDraft, trans: TranslationBundle): Resources {
  return {
    memory_mb: readNumber(draft.memory, 'resources.memory_mb', trans),
    timeout_s: secondsOf(draft.timeout, 'resources.timeout_s', trans),
    cell_timeout_s: secondsOf(draft.cellTimeout, 'resources.cell_timeout_s', trans),
    max_output_mb: readNumber(draft.output, 'resources.max_output_mb', trans)
  };
}

/**
 * Read how runs are queued, tried again and kept.
 *
 * @param before - What counts where nothing is chosen; without it, what a new job has.
 * @throws `PerijoveError` at the field that is no number.
 */
export function policyOf(
  draft: ILimitsDraft,
  trans: TranslationBundle,
  before: Policy = USUAL
): Policy {
  const number = (text: string, field: string): number | null =>
    readNumber(text, `policy.${field}`, trans);
  return {
    retries: number(draft.retries, 'retries') ?? before.retries,
    retry_delay_s: secondsOf(draft.delay, 'policy.retry_delay_s', trans) ?? before.retry_delay_s,
    retry_backoff: number(draft.backoff, 'retry_backoff') ?? before.retry_backoff,
    concurrency: number(draft.concurrency, 'concurrency') ?? before.concurrency,
    priority: number(draft.priority, 'priority') ?? before.priority,
    keep_days: number(draft.keep, 'keep_days') ?? before.keep_days,
    keep_failed_days: number(draft.keepFailed, 'keep_failed_days') ?? before.keep_failed_days
  };
}

/** Whether anything of how runs are queued, tried again and kept was chosen. */
export function hasPolicy(draft: ILimitsDraft): boolean {
  const { retries, delay, backoff, concurrency, priority, keep, keepFailed } = draft;
  return [retries, delay.amount, backoff, concurrency, priority, keep, keepFailed].some(text =>
    text.trim()
  );
}

/** Say in a line what limits a job's runs have, and how they are tried again. */
export function limitWords(
  resources: Resources,
  policy: Policy,
  trans: TranslationBundle
): [string, string][] {
  const words: [string, string][] = [
    [
      trans.__('Limits'),
      [
        resources.memory_mb && trans.__('%1 MiB', resources.memory_mb),
        resources.timeout_s && spanWords(resources.timeout_s, trans),
        resources.cell_timeout_s &&
          trans.__('%1 a cell', spanWords(resources.cell_timeout_s, trans)),
        policy.concurrency && trans.__('%1 at once', policy.concurrency)
      ]
        .filter(Boolean)
        .join(' · ') || trans.__("the platform's")
    ],
    [
      trans.__('Retries'),
      policy.retries
        ? trans._n(
            'once, after %2',
            '%1 times, the first after %2',
            policy.retries,
            spanWords(policy.retry_delay_s, trans)
          )
        : trans.__('none')
    ]
  ];
  if (policy.keep_days) {
    words.push([trans.__('Outputs kept'), trans._n('%1 day', '%1 days', policy.keep_days)]);
  }
  return words;
}

interface ILimitProps {
  value: ILimitsDraft;
  onChange: (value: ILimitsDraft) => void;
  problem?: IProblem;
  /** What an empty field of the policy stands for: a new job's, or what the job has. */
  isNew: boolean;
}

/** What one run may use, and how runs are queued, tried again and kept. */
export function LimitFields({ value, onChange, problem, isNew }: ILimitProps): ReactElement {
  const { trans } = usePerijove();
  const set = (change: Partial<ILimitsDraft>): void => onChange({ ...value, ...change });
  const usual = trans.__("the platform's");
  const blank = (words: string): string => (isNew ? words : trans.__('as before'));
  return (
    <>
      <h3>{trans.__('What one run may use')}</h3>
      <div className="pj-Field-row">
        <TextField
          name="resources.memory_mb"
          label={trans.__('Memory in MiB')}
          problem={problem}
          numeric
          placeholder={blank(usual)}
          value={value.memory}
          onChange={memory => set({ memory })}
        />
        <SpanField
          name="resources.timeout_s"
          label={trans.__('Time')}
          problem={problem}
          placeholder={blank(usual)}
          value={value.timeout}
          onChange={timeout => set({ timeout })}
        />
      </div>
      <div className="pj-Field-row">
        <TextField
          name="resources.max_output_mb"
          label={trans.__('Output notebook in MiB')}
          problem={problem}
          numeric
          placeholder={blank(usual)}
          value={value.output}
          onChange={output => set({ output })}
        />
        <SpanField
          name="resources.cell_timeout_s"
          label={trans.__('Time of one cell')}
          problem={problem}
          placeholder={blank(trans.__('no limit'))}
          value={value.cellTimeout}
          onChange={cellTimeout => set({ cellTimeout })}
        />
      </div>
      <h3>{trans.__('When a run fails')}</h3>
      <div className="pj-Field-row">
        <TextField
          name="policy.retries"
          label={trans.__('Try again')}
          help={trans.__('How often, at most')}
          problem={problem}
          numeric
          placeholder={blank(trans.__('not at all'))}
          value={value.retries}
          onChange={retries => set({ retries })}
        />
        <SpanField
          name="policy.retry_delay_s"
          label={trans.__('First after')}
          help={trans.__('Never longer than a day')}
          problem={problem}
          placeholder={blank('1')}
          value={value.delay}
          onChange={delay => set({ delay })}
        />
        <TextField
          name="policy.retry_backoff"
          label={trans.__('Delay grows by')}
          help={trans.__('A factor; 1: always as long')}
          problem={problem}
          numeric
          placeholder={blank('2')}
          value={value.backoff}
          onChange={backoff => set({ backoff })}
        />
      </div>
      <h3>{trans.__('Queue and keep')}</h3>
      <div className="pj-Field-row">
        <TextField
          name="policy.concurrency"
          label={trans.__('Most runs at once')}
          problem={problem}
          numeric
          placeholder={blank(trans.__('no limit'))}
          value={value.concurrency}
          onChange={concurrency => set({ concurrency })}
        />
        <TextField
          name="policy.priority"
          label={trans.__('Priority')}
          help={trans.__('−100 to 100; higher starts first')}
          problem={problem}
          placeholder={blank('0')}
          value={value.priority}
          onChange={priority => set({ priority })}
        />
      </div>
      <div className="pj-Field-row">
        <TextField
          name="policy.keep_days"
          label={trans.__('Keep outputs, days')}
          problem={problem}
          numeric
          placeholder={blank(trans.__('for ever'))}
          value={value.keep}
          onChange={keep => set({ keep })}
        />
        <TextField
          name="policy.keep_failed_days"
          label={trans.__('Of failed runs, days')}
          problem={problem}
          numeric
          placeholder={blank(trans.__('as long'))}
          value={value.keepFailed}
          onChange={keepFailed => set({ keepFailed })}
        />
      </div>
    </>
  );
}
