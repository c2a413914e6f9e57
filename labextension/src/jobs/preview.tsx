import { useEffect, useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Schedule, SchedulePreview } from '../api/types';
import { usePerijove } from '../ui/context';
import { Moment } from '../ui/moment';
import { useSettled } from '../ui/settled';
import { previewSchedule } from './requests';
import { draftOf, scheduleOf, zoneHere, type IScheduleDraft } from './scheduleDraft';

/** What is known of a schedule that is being written. */
export interface IPreviewed {
  preview?: SchedulePreview;
  /** What is wrong with it, at its field. */
  problem?: IProblem;
  /** Whether an answer is on its way; what is shown is of the schedule before. */
  stale: boolean;
}

/** Ask when a schedule would be due, once typing pauses; the last answer stays meanwhile. */
export function usePreview(draft: IScheduleDraft): IPreviewed {
  const { api, trans } = usePerijove();
  const [known, setKnown] = useState<{
    question: string;
    preview?: SchedulePreview;
    problem?: IProblem;
  }>({ question: '' });
  const question = questionOf(draft, trans);
  const settled = useSettled(question);
  useEffect(() => {
    if (!settled) {
      return;
    }
    let current = true;
    previewSchedule(api, JSON.parse(settled) as Schedule).then(
      preview => current && setKnown({ question: settled, preview }),
      (error: unknown) => current && setKnown({ question: settled, problem: placed(error) })
    );
    return () => {
      current = false;
    };
  }, [api, settled]);
  const stale = known.question !== question;
  return {
    preview: question ? known.preview : undefined,
    problem: stale ? undefined : known.problem,
    stale
  };
}

/** A schedule in words and its next slots; as high with them as without: nothing jumps. */
export function Preview({
  draft,
  previewed: { preview, problem, stale }
}: {
  draft: IScheduleDraft;
  previewed: IPreviewed;
}): ReactElement {
  const { trans } = usePerijove();
  const elsewhere = zoneOf(draft) !== zoneHere();
  const waiting = isTimed(draft)
    ? trans.__('The next runs show here once it is clear when.')
    : trans.__('Choose what it waits for.');
  return (
    <div className="pj-Preview" aria-busy={stale} role="group" aria-label={trans.__('Next runs')}>
      <p className="pj-Preview-text" aria-live="polite">
        {problem
          ? problem.field
            ? waiting
            : (problem.detail ?? problem.title)
          : (preview?.text ?? waiting)}
      </p>
      {isTimed(draft) && (
        <ol className="pj-Preview-slots">
          {!problem &&
            preview?.slots.map((slot, number) => (
              <li key={slot}>
                <span title={elsewhere ? trans.__('%1 where you are', here(slot)) : undefined}>
                  {clock(preview.local[number] ?? '') ?? here(slot)}
                </span>
                {number === 0 && <Moment at={slot} />}
              </li>
            ))}
        </ol>
      )}
    </div>
  );
}

/** What is asked, as JSON; empty for no schedule, or one that is not written to its end. */
function questionOf(draft: IScheduleDraft, trans: ReturnType<typeof usePerijove>['trans']): string {
  try {
    // What it does with missed slots is no part of when they are.
    const bare = { ...draftOf(), ...onlyWhen(draft) };
    const schedule = scheduleOf(bare, { parameters: {}, paused: false }, trans);
    return schedule ? JSON.stringify({ ...schedule, timezone: zoneOf(draft) }) : '';
  } catch {
    return '';
  }
}

function onlyWhen({
  kind,
  cron,
  timezone,
  every,
  after,
  rule,
  dataset
}: IScheduleDraft): Partial<IScheduleDraft> {
  return { kind, cron, timezone, every, after, rule, dataset };
}

function isTimed({ kind }: IScheduleDraft): boolean {
  return kind === 'cron' || kind === 'every';
}

/** What its slots are shown in. */
function zoneOf({ kind, timezone }: IScheduleDraft): string {
  return kind === 'cron' ? timezone.trim() : zoneHere();
}

/** A preview's body is the schedule itself, a promotion's has it in a field. */
function placed(error: unknown): IProblem {
  const problem = asProblem(error);
  const { field } = problem;
  return field && !field.startsWith('schedule')
    ? { ...problem, field: `schedule.${field}` }
    : problem;
}

/** Write `2026-11-22 06:00+01:00`, what clocks of a time zone show, for people. */
function clock(local: string): string | null {
  const [, day, time, offset] = /^(\d{4}-\d\d-\d\d) ([\d:]+)([+-].*)$/.exec(local) ?? [];
  if (!day) {
    return null;
  }
  const date = new Date(`${day}T00:00Z`).toLocaleDateString(
    document.documentElement.lang || undefined,
    { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' }
  );
  return `${date}, ${time} (UTC${offset})`;
}

/** An instant as the browser's own clock shows it. */
function here(slot: string): string {
  return new Date(slot).toLocaleString(document.documentElement.lang || undefined, {
    dateStyle: 'medium',
    timeStyle: 'short'
  });
}
