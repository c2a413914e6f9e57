import { Dialog, showDialog } from '@jupyterlab/apputils';
import { copyIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Deployment } from '../api/types';
import { RelatedRuns } from '../jobs/relatedRuns';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { IconButton } from '../ui/iconButton';
import { Log } from '../ui/log';
import { Moment } from '../ui/moment';
import { Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { sharedWith } from '../ui/sharing';
import { Empty, Failure, Snippet } from '../ui/states';
import { DataTable } from '../ui/table';
import { callSnippet } from './call';
import { getDeployment, getDeploymentLog, undeploy } from './requests';

/** A deployment's own page: where to send requests, what it takes, what it wrote. */
export function DeploymentPage({ name }: { name: string }): ReactElement {
  const { api } = usePerijove();
  const [gone, setGone] = useState(false);
  const deployment = usePolled(`deployment/${name}`, () => getDeployment(api, name), {
    interval: 3000,
    isLast: () => gone
  });
  return (
    <Loaded polled={gone ? { ...deployment, problem: undefined } : deployment}>
      {data => <DeploymentDetail deployment={data} gone={gone} onGone={() => setGone(true)} />}
    </Loaded>
  );
}

function DeploymentDetail({
  deployment,
  gone,
  onGone
}: {
  deployment: Deployment;
  gone: boolean;
  onGone: () => void;
}): ReactElement {
  const { actions, api, trans } = usePerijove();
  const { name, model, version, url } = deployment;
  const [refusal, setRefusal] = useState<IProblem>();
  const remove = async (): Promise<void> => {
    const { button } = await showDialog({
      title: trans.__('Undeploy %1?', name),
      body: trans.__('Its URL stops answering at once. The model stays in the registry.'),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Undeploy') })]
    });
    if (button.accept) {
      await undeploy(api, name);
      onGone();
    }
  };
  return (
    <PageFrame
      kind={trans.__('Deployment')}
      title={name}
      chip={!gone && <Chip state={deployment.state} />}
      facts={
        <>
          {trans.__('%1, version %2', model, version)} · {deployment.owner} ·{' '}
          {sharedWith(deployment, trans)} · {deployment.image && `${deployment.image} · `}
          <Moment at={deployment.updated_at} />
        </>
      }
      actions={
        !gone && (
          <button
            className="pj-Button pj-mod-danger"
            onClick={() => {
              setRefusal(undefined);
              remove().catch((error: unknown) => setRefusal(asProblem(error)));
            }}
          >
            {trans.__('Undeploy…')}
          </button>
        )
      }
    >
      {gone && (
        <Empty
          title={trans.__('%1 is undeployed', name)}
          code={`%deploy ${model} --version ${version}`}
        >
          {trans.__('To bring it back:')}
        </Empty>
      )}
      {refusal && <Failure problem={refusal} />}
      {deployment.reason && (
        <p className={`pj-Reason pj-mod-${deployment.state}`} role="status">
          {deployment.reason}
        </p>
      )}
      {!gone && (
        <>
          <Section title={trans.__('URL')}>
            <div className="pj-Url">
              <code>{url}</code>
              <IconButton
                icon={copyIcon}
                label={trans.__('Copy the URL')}
                onClick={() => actions.copy(url)}
              />
            </div>
          </Section>
          <Section title={trans.__('Call it from a notebook')}>
            <Snippet code={callSnippet(deployment)} />
          </Section>
          <Signature deployment={deployment} />
          <RelatedRuns title={trans.__("Made by a job's run")} origin={{ model, version }} />
          <Section title={trans.__('Log')}>
            <Log
              question={`deployment/${name}/${version}/log`}
              read={offset => getDeploymentLog(api, name, offset)}
            />
          </Section>
        </>
      )}
    </PageFrame>
  );
}

function Signature({ deployment }: { deployment: Deployment }): ReactElement | null {
  const { trans } = usePerijove();
  if (deployment.inputs.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('Inputs')}>
      <DataTable
        label={trans.__('Inputs of %1', deployment.name)}
        rows={deployment.inputs}
        rowKey={(_, index) => index}
        columns={[
          { name: trans.__('Name'), cell: input => input.name ?? '–' },
          { name: trans.__('Type'), cell: input => <code>{input.type}</code> },
          {
            name: trans.__('Required'),
            cell: input => (input.required ? trans.__('yes') : trans.__('no'))
          }
        ]}
      />
    </Section>
  );
}
