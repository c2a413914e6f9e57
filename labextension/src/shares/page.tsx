import { Dialog, showDialog } from '@jupyterlab/apputils';
import { useRef, useState, type KeyboardEvent, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Box, Share } from '../api/types';
import { usePerijove } from '../ui/context';
import { List, Search, STEP } from '../ui/list';
import { Moment } from '../ui/moment';
import { PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Empty, Failure } from '../ui/states';
import { deleteShare, dismissShare, listShares } from './requests';

/** Notebooks that others share with the user, and those the user shares. */
export function SharesPage(): ReactElement {
  const { trans } = usePerijove();
  const [words, setWords] = useState('');
  return (
    <PageFrame
      kind={trans.__('Notebooks')}
      title={trans.__('Shared notebooks')}
      facts={trans.__('A share is a copy: what you change in yours nobody else sees.')}
    >
      <Search label={trans.__('Search shared notebooks')} onSearch={setWords} />
      <Section title={trans.__('Shared with me')}>
        <Shares box="received" words={words} />
      </Section>
      <Section title={trans.__('Shared by me')}>
        <Shares box="sent" words={words} />
      </Section>
    </PageFrame>
  );
}

function Shares({ box, words }: { box: Box; words: string }): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [limit, setLimit] = useState(STEP);
  const shares = usePolled(
    `shares?box=${box}&q=${words}&limit=${limit}`,
    () => listShares(api, box, words, limit),
    { interval: 15_000 }
  );
  const [busy, setBusy] = useState<string>();
  const [problem, setProblem] = useState<IProblem>();
  const place = useRef<HTMLDivElement>(null);

  const act = async (share: Share, action: () => Promise<void>): Promise<void> => {
    setBusy(share.id);
    setProblem(undefined);
    try {
      await action();
    } catch (error) {
      setProblem(asProblem(error));
      // What was done to it elsewhere is most often why.
      shares.refresh();
    } finally {
      setBusy(undefined);
    }
  };
  const open = (share: Share): Promise<void> => act(share, () => actions.takeShare(share.id));
  const leave = async (share: Share, row: Element | null): Promise<void> => {
    // The row goes, and with it the focus: the next one gets it, else the section.
    const next = row?.nextElementSibling ?? row?.previousElementSibling;
    const sure = await confirmed(
      box === 'received'
        ? {
            title: trans.__('Dismiss %1?', share.name),
            body: trans.__('You will not see it here again. A copy that you opened stays.'),
            yes: trans.__('Dismiss')
          }
        : {
            title: trans.__('Stop sharing %1?', share.name),
            body: trans.__('Nobody can take a copy any more. Copies that were taken stay.'),
            yes: trans.__('Stop sharing')
          }
    );
    if (sure) {
      await act(share, async () => {
        await (box === 'received' ? dismissShare : deleteShare)(api, share.id);
        shares.refresh();
        (next?.querySelector<HTMLElement>('[data-row]') ?? place.current)?.focus();
      });
    }
  };

  const noMatch = trans.__('No shared notebook matches “%1”', words);
  const received = trans.__('Nobody has shared a notebook with you yet');
  const empty =
    box === 'received' ? (
      <Empty title={words ? noMatch : received} />
    ) : (
      <Empty
        title={words ? noMatch : trans.__('You share no notebook yet')}
        code={words ? undefined : '%share --to NAME'}
      >
        {!words &&
          trans.__(
            'Right-click one in the file browser and choose “Share…”, or share from a cell:'
          )}
      </Empty>
    );
  return (
    <div className="pj-Shares" ref={place} tabIndex={-1}>
      {problem && <Failure problem={problem} />}
      <List
        label={box === 'received' ? trans.__('Shared with me') : trans.__('Shared by me')}
        polled={shares}
        limit={limit}
        onMore={setLimit}
        empty={empty}
        render={share => (
          <ShareRow
            key={share.id}
            share={share}
            box={box}
            busy={busy === share.id}
            onOpen={() => void open(share)}
            onLeave={row => void leave(share, row)}
          />
        )}
      />
    </div>
  );
}

/** One share; arrow keys move between rows, and Delete is the row's own way out. */
function ShareRow({
  share,
  box,
  busy,
  onOpen,
  onLeave
}: {
  share: Share;
  box: Box;
  busy: boolean;
  onOpen: () => void;
  onLeave: (row: Element | null) => void;
}): ReactElement {
  const { trans } = usePerijove();
  const received = box === 'received';
  const onKeyDown = (event: KeyboardEvent<HTMLElement>): void => {
    if (event.key === 'Delete' && !busy) {
      event.preventDefault();
      onLeave(event.currentTarget);
    }
  };
  return (
    <li className="pj-Share" aria-busy={busy} onKeyDown={onKeyDown}>
      <div className="pj-Share-what">
        {/* A name may be written from right to left: what follows it is not. */}
        <strong>
          <bdi>{share.name}</bdi>
        </strong>
        <span className="pj-Facts">
          {received
            ? trans.__('from %1', share.sender)
            : trans.__('with %1', share.group ?? share.receiver ?? '')}
          {!received && share.dismissed && ` · ${trans.__('dismissed')}`}
          {share.image && ` · ${share.image}`} · <Moment at={share.created_at} />
        </span>
        {share.message && (
          <p className="pj-Share-message">
            <bdi>{share.message}</bdi>
          </p>
        )}
      </div>
      <span className="pj-Share-actions">
        {received && (
          <button
            className="pj-Button"
            data-row
            aria-label={trans.__('Open a copy of %1', share.name)}
            aria-disabled={busy}
            onClick={() => !busy && onOpen()}
          >
            {trans.__('Open a copy')}
          </button>
        )}
        <button
          className="pj-Button"
          {...(!received && { 'data-row': true })}
          aria-label={
            received ? trans.__('Dismiss %1', share.name) : trans.__('Stop sharing %1', share.name)
          }
          aria-disabled={busy}
          onClick={event => !busy && onLeave(event.currentTarget.closest('li'))}
        >
          {received ? trans.__('Dismiss…') : trans.__('Stop sharing…')}
        </button>
      </span>
    </li>
  );
}

async function confirmed(ask: { title: string; body: string; yes: string }): Promise<boolean> {
  const { title, body, yes } = ask;
  const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label: yes })];
  const { button } = await showDialog({ title, body, buttons });
  return button.accept;
}
