import type { TranslationBundle } from '@jupyterlab/translation';
import { useMemo, useState, type ReactElement } from 'react';

import type { Job, RunPoint } from '../api/types';
import { Chart, useTheme, type ISpec, type ITheme } from '../ui/chart';
import { usePerijove } from '../ui/context';
import { Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { Failure, Skeleton } from '../ui/states';
import { getSeries } from './watching';

/** Runs in a chart. */
const RUNS = 200;
/** Metrics with a chart of their own before somebody asks for the rest. */
const FEW = 4;

/** How long a job's last runs took, how they ended, and what their metrics were. */
export function RunCharts({ job }: { job: Job }): ReactElement | null {
  const { api, trans } = usePerijove();
  const [all, setAll] = useState(false);
  const { data, problem, refresh } = usePolled(
    `job/${job.id}/series`,
    () => getSeries(api, job.id, RUNS),
    { interval: 15_000 }
  );
  const theme = useTheme();
  // Charts are drawn anew only when something is.
  const content = JSON.stringify(data ?? []);
  const charts = useMemo(
    () => chartsOf(JSON.parse(content) as RunPoint[], theme, trans),
    [content, theme, trans]
  );
  if (data && charts.length === 0) {
    // The list of runs says already that there is none.
    return null;
  }
  const shown = all ? charts : charts.slice(0, FEW + 1);
  return (
    <Section title={trans.__('Over runs')}>
      {problem && <Failure problem={problem} onRetry={refresh} />}
      {!data && !problem && <Skeleton rows={4} />}
      <div className="pj-Charts">
        {shown.map(([name, spec]) => (
          <Chart key={name} label={name} spec={spec} />
        ))}
      </div>
      {shown.length < charts.length && (
        <button className="pj-Button" onClick={() => setAll(true)}>
          {trans.__('Show %1 more metrics', charts.length - shown.length)}
        </button>
      )}
    </Section>
  );
}

function chartsOf(runs: RunPoint[], theme: ITheme, trans: TranslationBundle): [string, ISpec][] {
  const ended = runs.filter(({ seconds }) => seconds !== null && seconds !== undefined);
  if (ended.length === 0) {
    return [];
  }
  const names = [...new Set(runs.flatMap(({ metrics }) => Object.keys(metrics)))];
  return [
    [trans.__('Seconds and state'), durations(ended, theme, trans)],
    ...names.map((name): [string, ISpec] => [name, metric(runs, name, theme, trans)])
  ];
}

function durations(runs: RunPoint[], theme: ITheme, trans: TranslationBundle): ISpec {
  const states = Object.keys(theme.states);
  return {
    data: { values: runs.map((run, number) => ({ ...row(run, number), value: run.seconds })) },
    mark: { type: 'bar' },
    encoding: {
      x: runAxis(trans),
      y: { field: 'value', type: 'quantitative', title: trans.__('seconds') },
      color: {
        field: 'state',
        type: 'nominal',
        title: null,
        scale: { domain: states, range: states.map(state => theme.states[state]) },
        legend: { orient: 'top', values: [...new Set(runs.map(({ state }) => state))] }
      },
      tooltip: tooltips(trans.__('seconds'), trans)
    }
  };
}

function metric(runs: RunPoint[], name: string, theme: ITheme, trans: TranslationBundle): ISpec {
  // A name is anybody's text: it is shown, and never the name of a field.
  const values = runs.map((run, number) => ({ ...row(run, number), value: run.metrics[name] }));
  return {
    data: { values: values.filter(({ value }) => value !== undefined) },
    mark: { type: 'line', point: { color: theme.brand }, color: theme.brand },
    encoding: {
      x: runAxis(trans),
      y: { field: 'value', type: 'quantitative', title: null, scale: { zero: false } },
      tooltip: tooltips(name, trans)
    }
  };
}

function row(run: RunPoint, number: number): Record<string, unknown> {
  return {
    number: number + 1,
    state: run.state,
    version: run.version,
    at: new Date(run.queued_at).toLocaleString()
  };
}

function runAxis(trans: TranslationBundle): Record<string, unknown> {
  return {
    field: 'number',
    type: 'ordinal',
    axis: { title: trans.__('runs, oldest first'), labels: false, ticks: false }
  };
}

function tooltips(title: string, trans: TranslationBundle): Record<string, unknown>[] {
  return [
    { field: 'at', title: trans.__('queued') },
    { field: 'state', title: trans.__('state') },
    { field: 'version', title: trans.__('version') },
    { field: 'value', type: 'quantitative', title }
  ];
}
