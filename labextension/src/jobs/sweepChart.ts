import type { TranslationBundle } from '@jupyterlab/translation';

import type { Sweep, SweepTrial } from '../api/types';
import type { ISpec, ITheme } from '../ui/chart';

/** One axis: where a value stands on it, from 0 to 1, and the words at its ends. */
interface IAxis {
  name: string;
  place: (value: unknown) => number;
  ticks: [number, string][];
}

/** Where words stand beside their place on an axis: no line goes below or above its ends. */
const BESIDE = {
  low: { dy: 10 },
  middle: { align: 'right', dx: -5 },
  high: { dy: -9 }
};

/**
 * Draw each trial as a line over its parameters and the metric.
 *
 * Returns null as long as there are not two trials with a value to tell apart.
 */
export function parallel(
  sweep: Sweep,
  trials: SweepTrial[],
  theme: ITheme,
  trans: TranslationBundle
): ISpec | null {
  const counted = trials.filter(
    ({ state, value }) => state === 'succeeded' && typeof value === 'number'
  );
  if (counted.length < 2) {
    return null;
  }
  const axes = [
    ...Object.keys(sweep.space).map(name =>
      axisOf(
        name,
        counted.map(({ parameters }) => parameters[name]),
        sweep.space[name]?.kind === 'loguniform'
      )
    ),
    axisOf(
      sweep.metric,
      counted.map(({ value }) => value),
      false
    )
  ];
  const lines = counted.flatMap(trial =>
    axes.map((axis, at) => {
      const value = at < axes.length - 1 ? trial.parameters[axis.name] : trial.value;
      return {
        // A name is anybody's text: it is shown, and never the name of a field.
        at,
        axis: axis.name,
        place: axis.place(value),
        value: words(value),
        metric: trial.value,
        trial: trial.number,
        best: trial.number === sweep.best?.number
      };
    })
  );
  const ticks = axes.flatMap((axis, at) =>
    axis.ticks.map(([place, text]) => ({
      at,
      place,
      text,
      where: place === 0 ? 'low' : place === 1 ? 'high' : 'middle'
    }))
  );
  const x = {
    field: 'at',
    type: 'quantitative',
    axis: null,
    scale: { domain: [-0.15, axes.length - 0.85], nice: false }
  };
  const y = { field: 'place', type: 'quantitative', axis: null, scale: { domain: [-0.12, 1.16] } };
  const tooltip = [
    { field: 'trial', title: trans.__('trial') },
    { field: 'axis', title: trans.__('parameter') },
    { field: 'value', title: trans.__('value') },
    { field: 'metric', title: sweep.metric, type: 'quantitative' }
  ];
  const colour = {
    field: 'metric',
    type: 'quantitative',
    title: sweep.metric,
    // Blue is good and grey is not, in light and dark.
    scale: {
      range: sweep.goal === 'min' ? [theme.brand, theme.quiet] : [theme.quiet, theme.brand]
    },
    legend: { orient: 'right' }
  };
  return {
    height: 260,
    layer: [
      {
        data: { values: axes.map(({ name }, at) => ({ at, name, low: 0, high: 1 })) },
        layer: [
          {
            mark: { type: 'rule', color: theme.quiet },
            encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' } }
          },
          {
            mark: { type: 'text', dy: -24, color: theme.text, fontWeight: 'bold' },
            encoding: { x, y: { ...y, field: 'high' }, text: { field: 'name' } }
          }
        ]
      },
      {
        data: { values: lines },
        transform: [{ filter: '!datum.best' }],
        mark: { type: 'line', strokeWidth: 1.5, opacity: 0.8, tooltip: true },
        encoding: { x, y, detail: { field: 'trial' }, color: colour, tooltip }
      },
      {
        data: { values: lines },
        transform: [{ filter: 'datum.best' }],
        mark: { type: 'line', strokeWidth: 4, color: theme.states.succeeded, point: true },
        encoding: { x, y, detail: { field: 'trial' }, tooltip }
      },
      ...(['low', 'middle', 'high'] as const).map(where => ({
        data: { values: ticks.filter(tick => tick.where === where) },
        mark: { type: 'text', color: theme.quiet, fontSize: 10, ...BESIDE[where] },
        encoding: { x, y, text: { field: 'text' } }
      }))
    ]
  };
}

function axisOf(name: string, values: unknown[], log: boolean): IAxis {
  const numbers = values.filter((value): value is number => typeof value === 'number');
  if (numbers.length < values.length) {
    const kinds = [...new Set(values.map(words))].sort();
    const spread = (at: number): number => (kinds.length > 1 ? at / (kinds.length - 1) : 0.5);
    return {
      name,
      place: value => spread(kinds.indexOf(words(value))),
      ticks: kinds.slice(0, 12).map((kind, at) => [spread(at), kind])
    };
  }
  const scale = log ? Math.log : (value: number) => value;
  const low = Math.min(...numbers);
  const high = Math.max(...numbers);
  const place = (value: unknown): number =>
    high > low ? (scale(value as number) - scale(low)) / (scale(high) - scale(low)) : 0.5;
  return {
    name,
    place,
    ticks:
      high > low
        ? [
            [0, words(low)],
            [1, words(high)]
          ]
        : [[0.5, words(low)]]
  };
}

function words(value: unknown): string {
  if (typeof value === 'number') {
    return String(Number(value.toPrecision(4)));
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 24 ? `${text.slice(0, 23)}…` : text;
}
