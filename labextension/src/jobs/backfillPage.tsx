import type { TranslationBundle } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';
import { useRef, useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Backfill, BackfillCreate } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Moment } from '../ui/moment';
import { Facts, Loaded, PageFrame } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure } from '../ui/states';
import { cancelBackfill, createBackfill, getBackfill } from './backfills';
import { countWords, isOver, Slots, STATES } from './backfillSlots';
import { useMine } from './mine';

/** A backfill's own page: how far it is, slot by slot. */
export function BackfillPage({ id }: { id: string }): ReactElement {
  const { api } = usePerijove();
  const backfill = usePolled(`backfill/${id}`, () => getBackfill(api, id), {
    interval: 2000,
    isLast: isOver
  });
  return (
    <Loaded polled={backfill}>
      {data => <Detail backfill={data} onChange={backfill.refresh} />}
    </Loaded>
  );
}

interface IDetailProps {
  backfill: Backfill;
  onChange: () => void;
}

function Detail({ backfill, onChange }: IDetailProps): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [refusal, setRefusal] = useState<IProblem>();
  const [busy, setBusy] = useState(false);
  const act = (asked: Promise<unknown>): void => {
    setRefusal(undefined);
    setBusy(true);
    asked.catch((error: unknown) => setRefusal(asProblem(error))).finally(() => setBusy(false));
  };
  const mine = useMine(backfill.job_id);
  // A second try after an answer that was lost must not make a second backfill.
  const key = useRef<string>();
  const again = async (): Promise<void> => {
    key.current ??= UUID.uuid4();
    const { id, job } = await createBackfill(api, backfill.job_id, restOf(backfill), key.current);
    key.current = undefined;
    actions.open({ kind: 'backfill', id: id ?? '', title: `${job} · ${trans.__('backfill')}` });
  };
  return (
    <PageFrame
      kind={trans.__('Backfill')}
      title={backfill.job}
      chip={<Chip state={backfill.state} />}
      facts={
        <>
          {rangeWords(backfill, trans)} · {backfill.requested_by}
          {backfill.created_at && (
            <>
              {' · '}
              <Moment at={backfill.created_at} />
            </>
          )}
        </>
      }
      actions={
        <>
          <button
            className="pj-Button"
            onClick={() => actions.open({ kind: 'job', id: backfill.job_id, title: backfill.job })}
          >
            {trans.__('Show job')}
          </button>
          {mine && backfill.state === 'running' && (
            <button
              className="pj-Button pj-mod-danger"
              disabled={busy}
              onClick={() => act(cancelBackfill(api, backfill.id ?? '').then(onChange))}
            >
              {trans.__('Cancel')}
            </button>
          )}
          {mine && isOver(backfill) && hasRest(backfill) && (
            <button
              className="pj-Button"
              disabled={busy}
              title={trans.__('A new backfill of what did not succeed, with the latest version')}
              onClick={() => act(again())}
            >
              {trans.__('Run the rest')}
            </button>
          )}
        </>
      }
    >
      {refusal && <Failure problem={refusal} />}
      {backfill.reason && (
        <p className="pj-Reason" role="status">
          {backfill.reason}
        </p>
      )}
      <Bar backfill={backfill} />
      <Facts
        facts={[
          [trans.__('Version'), backfill.version],
          [trans.__('Runs at once'), backfill.concurrency],
          [
            trans.__('Order'),
            backfill.reverse ? trans.__('from the end') : trans.__('from the start')
          ],
          [trans.__('Priority'), backfill.priority],
          [trans.__('What ran before'), reprocessWords(backfill.reprocess, trans)],
          ...Object.entries(backfill.bind).map(([name, form]): [string, string] => [
            trans.__('Slot in %1', name),
            form
          ]),
          ...Object.entries(backfill.parameters).map(([name, value]): [string, string] => [
            name,
            JSON.stringify(value)
          ])
        ]}
      />
      <Slots backfill={backfill} />
    </PageFrame>
  );
}

/** How many of the slots are over, as a bar and in words. */
export function Bar({ backfill }: { backfill: Backfill }): ReactElement {
  const { trans } = usePerijove();
  const { counts, total } = backfill;
  return (
    <div className="pj-Counts">
      <div className="pj-Counts-bar" aria-hidden="true">
        {STATES.filter(state => counts[state]).map(state => (
          <span
            key={state}
            className={`pj-Slot pj-mod-${state}`}
            style={{ flexGrow: (counts[state] ?? 0) / Math.max(total, 1) }}
          />
        ))}
      </div>
      <p>{countWords(counts, trans)}</p>
    </div>
  );
}

/** Whether there are slots that did not succeed. */
function hasRest({ counts }: Backfill): boolean {
  return (['failed', 'lost', 'cancelled', 'unmade'] as const).some(state => counts[state]);
}

/** Ask for the same range again, but for what succeeded. */
function restOf(backfill: Backfill): BackfillCreate {
  const { slots, range, bind, parameters, concurrency, reverse, priority } = backfill;
  const same = { slots, range, bind, parameters, concurrency, reverse, priority };
  return { ...same, reprocess: 'failed', dry_run: false };
}

/** Say what a backfill goes over. */
export function rangeWords({ slots, range }: Backfill, trans: TranslationBundle): string {
  if (slots) {
    const day = (text: string): string => text.replace(/T00:00:00Z?$/, '');
    return trans.__('%1 until %2, %3', day(slots.start), day(slots.end), slots.timezone ?? 'UTC');
  }
  return trans.__('values of %1', range?.parameter ?? '');
}

function reprocessWords(reprocess: Backfill['reprocess'], trans: TranslationBundle): string {
  switch (reprocess) {
    case 'none':
      return trans.__('left alone');
    case 'failed':
      return trans.__('run again where it failed');
    case 'all':
      return trans.__('run again');
  }
}
