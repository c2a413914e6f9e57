import type { TranslationBundle } from '@jupyterlab/translation';
import { copyIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Build, ImageVersion, Principal } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { IconButton } from '../ui/iconButton';
import { Log } from '../ui/log';
import { duration, Moment } from '../ui/moment';
import { Facts, Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure } from '../ui/states';
import { Caller } from './caller';
import { buildImage } from './imageForm';
import { Progress } from './progress';
import { approve, cancelBuild, getBuild, getBuildLog, getImage, getVersion } from './requests';
import { hasEnded, sizeOf } from './standing';

/** A build and what it makes. */
interface IMaking {
  build: Build;
  version: ImageVersion;
}

/** A build's own page: how far it is, what it writes, and what came of it. */
export function BuildPage({ id }: { id: string }): ReactElement {
  const { api } = usePerijove();
  const read = async (): Promise<IMaking> => {
    const build = await getBuild(api, id);
    return { build, version: await getVersion(api, build.image, build.version) };
  };
  const making = usePolled(`build/${id}`, read, {
    interval: 1500,
    isLast: ({ build, version }) => hasEnded(build) && version.state !== 'tested'
  });
  return (
    <Caller>
      {caller => (
        <Loaded polled={making}>
          {data => <BuildDetail {...data} caller={caller} onChange={making.refresh} />}
        </Loaded>
      )}
    </Caller>
  );
}

function BuildDetail({
  build,
  version,
  caller,
  onChange
}: IMaking & { caller: Principal; onChange: () => void }): ReactElement {
  const perijove = usePerijove();
  const { actions, api, trans } = perijove;
  const [refusal, setRefusal] = useState<IProblem>();
  const [busy, setBusy] = useState(false);
  const act = (change: Promise<unknown>): void => {
    setRefusal(undefined);
    setBusy(true);
    change
      .then(onChange, (error: unknown) => setRefusal(asProblem(error)))
      .finally(() => setBusy(false));
  };
  const ended = hasEnded(build);
  // Who builds an image owns it.
  const mine = build.requested_by === caller.name;
  const cancelling = build.state === 'running' && !!build.reason;
  return (
    <PageFrame
      kind={trans.__('Build')}
      title={`${build.image}@${build.version}`}
      chip={<Chip state={build.state} />}
      facts={
        <>
          {build.requested_by} · <Moment at={build.queued_at} />
        </>
      }
      actions={
        <>
          <button
            className="pj-Button"
            onClick={() => actions.open({ kind: 'image', id: build.image, title: build.image })}
          >
            {trans.__('Show image')}
          </button>
          {!ended && (mine || caller.admin) && (
            <button
              className="pj-Button pj-mod-danger"
              disabled={busy || cancelling}
              onClick={() => act(cancelBuild(api, build.id))}
            >
              {cancelling ? trans.__('Cancelling…') : trans.__('Cancel')}
            </button>
          )}
          {ended && build.state !== 'succeeded' && mine && (
            <button
              className="pj-Button pj-mod-primary"
              disabled={busy}
              onClick={() =>
                act(getImage(api, build.image).then(image => buildImage(perijove, image)))
              }
            >
              {trans.__('Try again…')}
            </button>
          )}
          {version.state === 'tested' && caller.admin && (
            <button
              className="pj-Button pj-mod-primary"
              disabled={busy}
              onClick={() => act(approve(api, build.image, build.version))}
            >
              {trans.__('Approve')}
            </button>
          )}
          {version.state === 'approved' && (
            <button
              className="pj-Button pj-mod-primary"
              onClick={() => actions.startWith(`${build.image}@${build.version}`)}
            >
              {trans.__('Start a workspace with it…')}
            </button>
          )}
        </>
      }
    >
      {refusal && <Failure problem={refusal} />}
      <Outcome build={build} version={version} caller={caller} />
      <Facts facts={factsOf(build, version, trans)} />
      <Section title={trans.__('Log')}>
        <Log
          question={`build/${build.id}/log`}
          read={offset => getBuildLog(api, build.id, offset)}
        />
      </Section>
    </PageFrame>
  );
}

/** What came of a build, and what to do now. */
function Outcome({ build, version, caller }: IMaking & { caller: Principal }): ReactElement {
  const { actions, trans } = usePerijove();
  const command = `perijove images approve ${build.image}@${build.version}`;
  const waits = build.state === 'succeeded' && version.state === 'tested';
  return (
    <div className={`pj-Reason pj-mod-${waits ? 'tested' : build.state}`} role="status">
      <p>
        {build.state === 'succeeded'
          ? resultOf(version, trans)
          : (build.reason ?? trans.__('You may close this page: the build goes on without it.'))}
        {waits && !caller.admin && (
          <span className="pj-Digest">
            <code>{command}</code>
            <IconButton
              icon={copyIcon}
              label={trans.__('Copy the command')}
              onClick={() => actions.copy(command)}
            />
          </span>
        )}
      </p>
      {build.state === 'failed' && <p className="pj-Advice">{adviceFor(build, trans)}</p>}
    </div>
  );
}

function resultOf({ state }: ImageVersion, trans: TranslationBundle): string {
  return {
    draft: trans.__('The image is made.'),
    tested: trans.__(
      'It has passed its tests. Nothing starts from it before an administrator approves it.'
    ),
    approved: trans.__('It is approved: workspaces, kernels and jobs start from it.'),
    retired: trans.__('It was retired since: nothing starts from it any more.')
  }[state];
}

/** Say what to do about a failure, by the step it happened in. */
function adviceFor({ step_name: step }: Build, trans: TranslationBundle): string {
  switch (step) {
    case 'apt':
      return trans.__(
        'The log says which Debian package could not be installed. Correct its name or leave it out, and try again.'
      );
    case 'pip':
      return trans.__(
        'The log says which requirement could not be met. Correct or loosen it, and try again.'
      );
    case 'conda':
      return trans.__(
        'The log says which conda package could not be installed. Correct it, and try again.'
      );
    default:
      return trans.__('Mend what the log says, and try again. The steps before it are kept.');
  }
}

function factsOf(
  build: Build,
  version: ImageVersion,
  trans: TranslationBundle
): [string, ReactElement | string][] {
  return [
    [trans.__('Progress'), <Progress key="progress" build={build} />],
    [
      hasEnded(build) ? trans.__('Took') : trans.__('Running for'),
      build.started_at ? duration(build.started_at, build.ended_at, trans) : trans.__('not started')
    ],
    [trans.__('Base'), version.spec?.base ?? '–'],
    [trans.__('Size'), sizeOf(version.size_bytes)]
  ];
}
