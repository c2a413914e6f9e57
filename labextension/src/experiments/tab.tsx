import { launchIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import { usePerijove } from '../ui/context';
import { List, Row, STEP } from '../ui/list';
import { Moment } from '../ui/moment';
import { usePolled } from '../ui/polled';
import { Empty } from '../ui/states';
import { TabFrame } from '../ui/tabFrame';
import { listExperiments } from './requests';

const FIRST = `%%experiment my-first --param C=0.5
%metric auc=0.93`;

/** The Experiments tab: what was tried, and the way to MLflow. */
export function ExperimentsTab(): ReactElement {
  const { actions, api, trans } = usePerijove();
  const [words, setWords] = useState('');
  const [limit, setLimit] = useState(STEP);
  const experiments = usePolled(`experiments?q=${words}&limit=${limit}`, () =>
    listExperiments(api, words, limit)
  );
  return (
    <TabFrame
      search={trans.__('Search experiments')}
      onSearch={setWords}
      onRefresh={experiments.refresh}
      primary={{
        label: trans.__('Open MLflow'),
        hint: trans.__('Open MLflow in a new browser tab'),
        icon: launchIcon,
        onClick: () => actions.openTracking()
      }}
    >
      <List
        label={trans.__('Experiments')}
        polled={experiments}
        limit={limit}
        onMore={setLimit}
        empty={
          words ? (
            <Empty title={trans.__('No experiment matches “%1”', words)} />
          ) : (
            <Empty title={trans.__('No experiments yet')} code={FIRST}>
              {trans.__('Start one with this cell; its parameters and metrics appear here:')}
            </Empty>
          )
        }
        render={experiment => (
          <Row
            key={experiment.id}
            title={experiment.name}
            onOpen={() =>
              actions.open({ kind: 'experiment', id: experiment.id, title: experiment.name })
            }
          >
            <span>{trans._n('%1 run', '%1 runs', experiment.runs)}</span>
            {experiment.last_run_at && <Moment at={experiment.last_run_at} />}
          </Row>
        )}
      />
    </TabFrame>
  );
}
