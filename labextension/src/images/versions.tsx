import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { ReactElement } from 'react';

import type { Image, ImageVersion, Principal } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { Digest } from '../ui/digest';
import { Moment } from '../ui/moment';
import { Section } from '../ui/page';
import { DataTable } from '../ui/table';
import { approve, retire, rollBack } from './requests';
import { mayChange, mayRollBack, sizeOf, standingOf } from './standing';

interface IVersionsProps {
  image: Image;
  versions: ImageVersion[];
  caller: Principal;
  /** Carry a change out and show what becomes of it. */
  act: (change: Promise<unknown>) => void;
  onMore?: () => void;
}

/** An image's versions, newest first, and what may be done with each. */
export function Versions(props: IVersionsProps): ReactElement {
  const { image, versions, caller, onMore } = props;
  const { trans } = usePerijove();
  return (
    <Section title={trans.__('Versions')}>
      <DataTable
        label={trans.__('Versions of %1', image.name)}
        rows={versions}
        rowKey={({ version }) => version}
        columns={[
          {
            name: trans.__('Version'),
            cell: ({ version }) => (
              <>
                {version}
                {version === image.current && <span className="pj-Tag">{trans.__('current')}</span>}
              </>
            )
          },
          {
            name: trans.__('State'),
            cell: version => (
              <>
                <Chip
                  state={standingOf(version)}
                  title={version.smoke_test ?? version.build?.reason ?? undefined}
                />
                {version.removed_at && (
                  <span className="pj-Tag">
                    {trans.__('removed')} <Moment at={version.removed_at} />
                  </span>
                )}
              </>
            )
          },
          { name: trans.__('Digest'), cell: ({ digest }) => <Digest digest={digest} /> },
          {
            name: trans.__('Size'),
            numeric: true,
            cell: ({ size_bytes: size }) => sizeOf(size)
          },
          { name: trans.__('Made'), cell: version => <Moment at={version.created_at} /> },
          { name: trans.__('By'), cell: version => version.created_by },
          {
            name: trans.__('Approved by'),
            cell: version => version.approved_by ?? '–'
          },
          ...(caller.admin || mayChange(image, caller) || mayRollBack(image, caller)
            ? [
                {
                  name: trans.__('Actions'),
                  cell: (version: ImageVersion) => <Actions {...props} version={version} />
                }
              ]
            : [])
        ]}
      />
      {onMore && (
        <button className="pj-Button" onClick={onMore}>
          {trans.__('Show more')}
        </button>
      )}
    </Section>
  );
}

function Actions({
  image,
  version,
  caller,
  act
}: IVersionsProps & { version: ImageVersion }): ReactElement {
  const { api, trans } = usePerijove();
  const { name, current } = image;
  const number = version.version;
  const approveIt = async (): Promise<void> => {
    const sure = await confirm(
      trans.__('Approve %1@%2?', name, number),
      trans.__(
        'Everyone who may see it can then start workspaces, kernels and jobs from it. Look at its packages first.'
      ),
      Dialog.okButton({ label: trans.__('Approve') })
    );
    if (sure) {
      await approve(api, name, number);
    }
  };
  const rollBackIt = async (): Promise<void> => {
    const sure = await confirm(
      trans.__('Roll %1 back to version %2?', name, number),
      trans.__(
        'What starts from “%1” from now on starts from version %2. What runs goes on as it is.',
        name,
        number
      ),
      Dialog.okButton({ label: trans.__('Roll back') })
    );
    if (sure) {
      await rollBack(api, name, number);
    }
  };
  const retireIt = async (): Promise<void> => {
    const sure = await confirm(
      trans.__('Retire %1@%2?', name, number),
      number === current
        ? trans.__(
            'Nothing starts from it any more, and there is no way back. “%1” then stands for the newest approved version, if there is one. What runs goes on.',
            name
          )
        : trans.__('Nothing starts from it any more, and there is no way back. What runs goes on.'),
      Dialog.warnButton({ label: trans.__('Retire') })
    );
    if (sure) {
      await retire(api, name, number);
    }
  };
  const change = mayChange(image, caller);
  const choices: [boolean, string, string, () => Promise<void>][] = [
    [
      version.state === 'tested' && caller.admin,
      trans.__('Approve…'),
      trans.__('Approve version %1', number),
      approveIt
    ],
    [
      version.state === 'approved' && number !== current && mayRollBack(image, caller),
      trans.__('Roll back to it…'),
      trans.__('Roll back to version %1', number),
      rollBackIt
    ],
    [
      ['tested', 'approved'].includes(version.state) && change,
      trans.__('Retire…'),
      trans.__('Retire version %1', number),
      retireIt
    ]
  ];
  return (
    <span className="pj-VersionActions">
      {choices.map(
        ([offered, label, whole, run]) =>
          offered && (
            <button
              key={label}
              className="pj-Button pj-mod-small"
              aria-label={whole}
              onClick={() => act(run())}
            >
              {label}
            </button>
          )
      )}
    </span>
  );
}

async function confirm(title: string, body: string, yes: Dialog.IButton): Promise<boolean> {
  const { button } = await showDialog({ title, body, buttons: [Dialog.cancelButton(), yes] });
  return button.accept;
}
