import type { ReactElement } from 'react';

import { stateWord } from '../ui/chip';
import { usePerijove } from '../ui/context';

/** Something in the picture. */
export interface INode {
  key: string;
  /** From 0, left to right. */
  column: number;
  kind: string;
  name: string;
  state?: string;
  /** What the run in the middle has to do with it, in words; left out for that run. */
  relation?: string;
  /** Keys of what stands before it. */
  from: string[];
  /** Show it; left out where it has no page. */
  open?: () => void;
}

const WIDTH = 170;
const HEIGHT = 44;
const BETWEEN = { columns: 56, rows: 12 };

/** What stands before what, as boxes with arrows; each box opens what it stands for. */
export function LineagePicture({ nodes }: { nodes: INode[] }): ReactElement {
  const { trans } = usePerijove();
  // A column without anything takes no room.
  const columns = [...new Set(nodes.map(({ column }) => column))].sort();
  const tallest = Math.max(
    ...columns.map(column => nodes.filter(one => one.column === column).length)
  );
  const places = new Map<string, { x: number; y: number }>();
  for (const column of columns) {
    const inside = nodes.filter(one => one.column === column);
    inside.forEach(({ key }, row) =>
      places.set(key, {
        x: columns.indexOf(column) * (WIDTH + BETWEEN.columns),
        y: (row + (tallest - inside.length) / 2) * (HEIGHT + BETWEEN.rows)
      })
    );
  }
  const width = columns.length * (WIDTH + BETWEEN.columns) - BETWEEN.columns;
  const height = tallest * (HEIGHT + BETWEEN.rows) - BETWEEN.rows;
  const arrows = nodes.flatMap(({ key, from }) =>
    from.map((before): [string, string] => [before, key])
  );
  return (
    <div className="pj-Lineage" tabIndex={0} role="group" aria-label={trans.__('Before and after')}>
      <div style={{ width, height }}>
        <svg width={width} height={height} aria-hidden="true">
          {arrows.map(([before, after]) => {
            const [start, end] = [places.get(before), places.get(after)];
            if (!start || !end) {
              return null;
            }
            const [x1, y1] = [start.x + WIDTH, start.y + HEIGHT / 2];
            const [x2, y2] = [end.x, end.y + HEIGHT / 2];
            const bend = BETWEEN.columns / 2;
            return (
              <g key={`${before} ${after}`}>
                <path d={`M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 6} ${y2}`} />
                <path className="pj-mod-head" d={`M${x2} ${y2} l-7 -4 v8 z`} />
              </g>
            );
          })}
        </svg>
        {nodes.map(({ key, kind, name, relation, state, open }) => (
          <button
            key={key}
            className={`pj-Lineage-node ${relation ? '' : 'pj-mod-here'}`}
            style={{
              left: places.get(key)?.x,
              top: places.get(key)?.y,
              width: WIDTH,
              height: HEIGHT
            }}
            title={name}
            // The arrows say it to the eye.
            aria-label={[
              relation ? `${relation}: ${kind} ${name}` : `${kind}: ${name}`,
              state && stateWord(state, trans)
            ]
              .filter(Boolean)
              .join(', ')}
            disabled={!open}
            onClick={open}
          >
            <small>{state ? `${kind} · ${stateWord(state, trans)}` : kind}</small>
            <span>{name}</span>
          </button>
        ))}
      </div>
    </div>
  );
}
