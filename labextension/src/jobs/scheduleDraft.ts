import type { TranslationBundle } from '@jupyterlab/translation';

import { PerijoveError } from '../api/requests';
import type { Schedule, ScheduleState } from '../api/types';
import { secondsOf, spanOf, type ISpan } from '../ui/inputs';

/** What makes a job run: somebody, times, other jobs, or data. */
export type ScheduleKind = 'hand' | 'cron' | 'every' | 'after' | 'dataset';

/** A schedule as a form holds it: what another kind needs is kept while one looks around. */
export interface IScheduleDraft {
  kind: ScheduleKind;
  cron: string;
  timezone: string;
  every: ISpan;
  /** Ids of jobs. */
  after: string[];
  rule: Schedule['rule'];
  dataset: string;
  /** `latest`, `approved`, or a version's number. */
  version: string;
  catchUp: Schedule['catch_up'];
  window: ISpan;
  overlap: Schedule['overlap'];
}

/** The browser's time zone. */
export function zoneHere(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
}

/** Which kind a schedule is. */
export function kindOf(schedule: Schedule): ScheduleKind {
  if (schedule.cron) {
    return 'cron';
  }
  if (schedule.every_s) {
    return 'every';
  }
  return schedule.after.length > 0 ? 'after' : 'dataset';
}

/** Write a schedule as the form holds it; without one, a job runs only by hand. */
export function draftOf(schedule?: Schedule | null): IScheduleDraft {
  return {
    kind: schedule ? kindOf(schedule) : 'hand',
    cron: schedule?.cron ?? '',
    timezone: schedule?.cron ? schedule.timezone : zoneHere(),
    every: spanOf(schedule?.every_s ?? 3600),
    after: schedule?.after ?? [],
    rule: schedule?.rule ?? 'all_success',
    dataset: schedule?.dataset ?? '',
    version: String(schedule?.version ?? 'latest'),
    catchUp: schedule?.catch_up ?? 'latest',
    window: spanOf(schedule?.catch_up_window_s, 3600),
    overlap: schedule?.overlap ?? 'queue'
  };
}

/**
 * Read the form; null for a job that runs only by hand.
 *
 * @throws `PerijoveError` that names the field at fault.
 */
export function scheduleOf(
  draft: IScheduleDraft,
  { parameters, paused }: Pick<Schedule, 'parameters' | 'paused'>,
  trans: TranslationBundle
): Schedule | null {
  const { kind } = draft;
  if (kind === 'hand') {
    return null;
  }
  const every = kind === 'every' ? secondsOf(draft.every, 'schedule.every_s', trans) : null;
  const isTimed = kind === 'cron' || kind === 'every';
  need(kind !== 'cron' || draft.cron.trim(), 'schedule.cron', trans.__('Write when it runs.'));
  need(kind !== 'every' || every, 'schedule.every_s', trans.__('Write how often it runs.'));
  need(
    kind !== 'after' || draft.after.length,
    'schedule.after',
    trans.__('Tick at least one job.')
  );
  need(
    kind !== 'dataset' || draft.dataset.trim(),
    'schedule.dataset',
    trans.__('Write the full name of a dataset, as the Data tab has it.')
  );
  return {
    cron: kind === 'cron' ? draft.cron.trim() : null,
    every_s: every,
    after: kind === 'after' ? draft.after : [],
    dataset: kind === 'dataset' ? draft.dataset.trim() : null,
    rule: kind === 'after' ? draft.rule : 'all_success',
    timezone: kind === 'cron' ? draft.timezone.trim() : 'UTC',
    version: /^\d+$/.test(draft.version)
      ? Number(draft.version)
      : (draft.version as 'latest' | 'approved'),
    catch_up: draft.catchUp,
    catch_up_window_s: isTimed
      ? secondsOf(draft.window, 'schedule.catch_up_window_s', trans)
      : null,
    overlap: draft.overlap,
    parameters,
    paused
  };
}

/** A job's schedule as one would ask for it again. */
export function asked(schedule: ScheduleState): Schedule {
  const wanted: Partial<ScheduleState> = { ...schedule };
  delete wanted.next_slot;
  delete wanted.last_slot;
  delete wanted.after_names;
  return wanted as Schedule;
}

/** Say in a few words what makes a job run; the API's preview says more. */
export function kindWords(schedule: ScheduleState, trans: TranslationBundle): string {
  const { after, after_names: names } = schedule;
  switch (kindOf(schedule)) {
    case 'after': {
      const known = after.flatMap(id => names[id] ?? []).sort();
      const unseen = after.length - known.length;
      const others = unseen > 0 ? [trans._n('another job', '%1 other jobs', unseen)] : [];
      return trans.__('after %1', [...known, ...others].join(', '));
    }
    case 'dataset':
      return trans.__('when %1 changes', schedule.dataset);
    default:
      return trans.__('at set times');
  }
}

/** Say which version a schedule runs. */
export function followWords(version: Schedule['version'], trans: TranslationBundle): string {
  switch (version) {
    case 'latest':
      return trans.__('the latest version');
    case 'approved':
      return trans.__('the newest approved version');
    default:
      return trans.__('version %1, no other', version);
  }
}

function need(given: unknown, field: string, detail: string): void {
  if (!given) {
    throw new PerijoveError({ title: detail, detail, status: 0, field });
  }
}
