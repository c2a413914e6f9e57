import { useEffect, useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Backfill, BackfillCreate, BackfillRun, Job } from '../api/types';
import { usePerijove } from '../ui/context';
import { isAt } from '../ui/form';
import { useSettled } from '../ui/settled';
import { bodyOf, type IBackfillDraft } from './backfillDraft';
import { clockWords, countWords, SlotGrid, slotWords } from './backfillSlots';
import { createBackfill } from './backfills';

/** Fields that can show what is wrong with a backfill. */
export const PLANNED = [
  'slots',
  'range',
  'bind',
  'parameters',
  'reprocess',
  'concurrency',
  'priority'
];
/** Slots of a dry run that are drawn; the rest is counted. */
const DRAWN = 400;

/** What is known of a backfill that is being written. */
export interface IPlanned {
  plan?: Backfill;
  problem?: IProblem;
  stale: boolean;
}

/** Ask what a backfill would do, once typing pauses. */
export function usePlan(job: Job, draft: IBackfillDraft): IPlanned {
  const { api, trans } = usePerijove();
  const [known, setKnown] = useState<{ question: string; plan?: Backfill; problem?: IProblem }>({
    question: ''
  });
  let question = '';
  try {
    question = JSON.stringify(bodyOf(job, draft, true, trans));
  } catch {
    // It is not written to its end; Start says what is wrong.
  }
  const settled = useSettled(question);
  useEffect(() => {
    if (!settled) {
      return;
    }
    let current = true;
    createBackfill(api, job.id, JSON.parse(settled) as BackfillCreate).then(
      plan => current && setKnown({ question: settled, plan }),
      (error: unknown) => current && setKnown({ question: settled, problem: asProblem(error) })
    );
    return () => {
      current = false;
    };
  }, [api, job.id, settled]);
  const stale = known.question !== question;
  return { ...known, problem: stale ? undefined : known.problem, stale };
}

/** What a backfill would do. */
export function Plan({ plan, problem, stale }: IPlanned): ReactElement {
  const { trans } = usePerijove();
  const placed = PLANNED.some(name => isAt(problem, name));
  return (
    <div
      className="pj-Preview"
      aria-busy={stale}
      role="group"
      aria-label={trans.__('What it will do')}
    >
      <p className="pj-Preview-text" aria-live="polite">
        {problem && !placed
          ? (problem.detail ?? problem.title)
          : plan && !problem
            ? countWords(plan.counts, trans)
            : trans.__('What it will run shows here once the range is clear.')}
      </p>
      {plan && !problem && (
        <>
          <SlotGrid
            runs={plan.plan.slice(0, DRAWN)}
            timeZone={plan.slots?.timezone}
            label={trans.__('Slots of the backfill')}
          />
          <p className="pj-Facts">{ends(plan, trans)}</p>
        </>
      )}
    </div>
  );
}

function ends({ plan, slots }: Backfill, trans: ReturnType<typeof usePerijove>['trans']): string {
  const first = plan[0];
  const last = plan[plan.length - 1];
  if (!first || !last) {
    return '';
  }
  const words = trans.__(
    'from %1 to %2',
    edge(first, slots?.timezone),
    edge(last, slots?.timezone)
  );
  return plan.length > DRAWN ? trans.__('%1; the first %2 are drawn', words, DRAWN) : words;
}

function edge(run: BackfillRun, timeZone?: string | null): string {
  return run.slot ? clockWords(run.slot, timeZone) : slotWords(run);
}
