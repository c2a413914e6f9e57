import { useState, type ReactElement } from 'react';

import type { Deployment, Model } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { List, Row, STEP } from '../ui/list';
import { Moment } from '../ui/moment';
import { usePolled } from '../ui/polled';
import { Empty } from '../ui/states';
import { TabFrame } from '../ui/tabFrame';
import { deployModel } from './deployForm';
import { listDeployments, listModels } from './requests';

const FIRST = `mlflow.sklearn.log_model(
    model, name="model",
    registered_model_name="my-model",
    input_example=X[:2],
)`;

/** The Models tab: what answers requests, and what could. */
export function ModelsTab(): ReactElement {
  const perijove = usePerijove();
  const { api, trans } = perijove;
  const [words, setWords] = useState('');
  const [limit, setLimit] = useState(STEP);
  const deployments = usePolled(`deployments?q=${words}&limit=${limit}`, () =>
    listDeployments(api, words, limit)
  );
  const models = usePolled(`models?q=${words}&limit=${limit}`, () => listModels(api, words, limit));
  const deployable = models.data?.items.filter(model => model.versions.length > 0) ?? [];
  const [newest] = deployable;
  return (
    <TabFrame
      search={trans.__('Search models')}
      onSearch={setWords}
      onRefresh={() => {
        deployments.refresh();
        models.refresh();
      }}
      primary={{
        label: trans.__('Deploy…'),
        hint: newest
          ? trans.__('Serve a model version under a stable URL')
          : trans.__('Register a model first'),
        disabled: !newest,
        onClick: () => newest && void deployModel(perijove, deployable, newest)
      }}
    >
      <h3 className="pj-List-heading">{trans.__('Deployments')}</h3>
      <List
        label={trans.__('Deployments')}
        polled={deployments}
        limit={limit}
        onMore={setLimit}
        render={deployment => <DeploymentRow key={deployment.name} deployment={deployment} />}
        empty={
          words ? (
            <p className="pj-List-none">{trans.__('No deployment matches “%1”', words)}</p>
          ) : (
            <Empty
              title={trans.__('Nothing is deployed')}
              code={`%deploy ${newest?.name ?? 'my-model'} --version ${newest?.versions[0]?.version ?? 1}`}
            >
              {trans.__('Press Deploy, or give a model a URL from a notebook:')}
            </Empty>
          )
        }
      />
      <h3 className="pj-List-heading">{trans.__('Registered models')}</h3>
      <List
        label={trans.__('Registered models')}
        polled={models}
        limit={limit}
        onMore={setLimit}
        render={model => <ModelRow key={model.name} model={model} />}
        empty={
          words ? (
            <p className="pj-List-none">{trans.__('No model matches “%1”', words)}</p>
          ) : (
            <Empty title={trans.__('No models yet')} code={FIRST}>
              {trans.__('Register one from an experiment:')}
            </Empty>
          )
        }
      />
    </TabFrame>
  );
}

function DeploymentRow({ deployment }: { deployment: Deployment }): ReactElement {
  const { actions, trans } = usePerijove();
  return (
    <Row
      title={deployment.name}
      chip={<Chip state={deployment.state} title={deployment.reason ?? undefined} />}
      onOpen={() =>
        actions.open({ kind: 'deployment', id: deployment.name, title: deployment.name })
      }
    >
      <span>{trans.__('%1, version %2', deployment.model, deployment.version)}</span>
      <Moment at={deployment.updated_at} />
    </Row>
  );
}

function ModelRow({ model }: { model: Model }): ReactElement {
  const perijove = usePerijove();
  const { trans } = perijove;
  const [open, setOpen] = useState(false);
  const [latest] = model.versions;
  return (
    <>
      <Row title={model.name} expanded={open} onOpen={() => setOpen(!open)}>
        <span>{trans._n('%1 version', '%1 versions', model.versions.length)}</span>
        {latest && <Moment at={latest.created_at} />}
      </Row>
      {open &&
        model.versions.map(version => (
          <li className="pj-Version" key={version.version}>
            <span className="pj-Version-name">
              <span>
                {trans.__('Version %1', version.version)}
                {version.aliases.map(alias => (
                  <span className="pj-Tag" key={alias}>
                    {alias}
                  </span>
                ))}
              </span>
              <small>
                {version.deployed_as.length > 0
                  ? trans.__('deployed as %1', version.deployed_as.join(', '))
                  : version.user}
              </small>
            </span>
            <button
              className="pj-Button pj-mod-small"
              data-row
              aria-label={trans.__('Deploy %1, version %2', model.name, version.version)}
              onClick={() => void deployModel(perijove, [model], model, version.version)}
            >
              {trans.__('Deploy…')}
            </button>
          </li>
        ))}
    </>
  );
}
