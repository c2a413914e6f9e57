import { Notification } from '@jupyterlab/apputils';
import { useState, type ReactElement } from 'react';

import { asProblem } from '../api/requests';
import type { Box, Share } from '../api/types';
import { usePerijove } from '../ui/context';
import { List, Search, STEP } from '../ui/list';
import { Moment } from '../ui/moment';
import { PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Empty } from '../ui/states';
import { deleteShare, listShares } from './requests';

/** Notebooks that others share with the user, and those the user shares. */
export function SharesPage(): ReactElement {
  const { actions, trans } = usePerijove();
  const [words, setWords] = useState('');
  return (
    <PageFrame
      kind={trans.__('Notebooks')}
      title={trans.__('Shared notebooks')}
      facts={trans.__('A share is a copy: what you change in yours nobody else sees.')}
    >
      <Search label={trans.__('Search shared notebooks')} onSearch={setWords} />
      <Section title={trans.__('Shared with me')}>
        <Shares
          box="received"
          words={words}
          empty={trans.__('Nobody has shared a notebook with you yet')}
          action={{
            label: trans.__('Open a copy'),
            run: share => actions.takeShare(share.id)
          }}
        />
      </Section>
      <Section title={trans.__('Shared by me')}>
        <Shares
          box="sent"
          words={words}
          empty={trans.__('Right-click a notebook in the file browser and choose “Share…”')}
          action={{ label: trans.__('Stop sharing'), run: null }}
        />
      </Section>
    </PageFrame>
  );
}

function Shares({
  box,
  words,
  empty,
  action
}: {
  box: Box;
  words: string;
  empty: string;
  action: { label: string; run: ((share: Share) => Promise<void>) | null };
}): ReactElement {
  const { api, trans } = usePerijove();
  const [limit, setLimit] = useState(STEP);
  const shares = usePolled(
    `shares?box=${box}&q=${words}&limit=${limit}`,
    () => listShares(api, box, words, limit),
    { interval: 15_000 }
  );
  const [busy, setBusy] = useState<string>();
  const act = async (share: Share): Promise<void> => {
    setBusy(share.id);
    try {
      if (action.run) {
        await action.run(share);
      } else {
        await deleteShare(api, share.id);
        shares.refresh();
      }
    } catch (error) {
      const { detail, title, fix } = asProblem(error);
      Notification.error([detail ?? title, fix].filter(Boolean).join(' '));
    } finally {
      setBusy(undefined);
    }
  };
  return (
    <List
      label={box === 'received' ? trans.__('Shared with me') : trans.__('Shared by me')}
      polled={shares}
      limit={limit}
      onMore={setLimit}
      empty={<Empty title={words ? trans.__('No shared notebook matches “%1”', words) : empty} />}
      render={share => (
        <li className="pj-Share" key={share.id}>
          <div className="pj-Share-what">
            <strong>{share.name}</strong>
            <span className="pj-Facts">
              {box === 'received'
                ? trans.__('from %1', share.sender)
                : trans.__('with %1', share.group ?? share.receiver ?? '')}
              {share.image && ` · ${share.image}`} · <Moment at={share.created_at} />
            </span>
            {share.message && <p className="pj-Share-message">{share.message}</p>}
          </div>
          <button
            className="pj-Button"
            disabled={busy === share.id}
            onClick={() => void act(share)}
          >
            {action.label}
          </button>
        </li>
      )}
    />
  );
}
