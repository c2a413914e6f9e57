import {
  addBelowIcon,
  caretDownIcon,
  caretRightIcon,
  folderIcon,
  spreadsheetIcon,
  tableRowsIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import { useRef, useState, type KeyboardEvent, type ReactElement } from 'react';

import type { DatasetSummary } from '../api/types';
import { Chip } from '../ui/chip';
import { sourceIcon } from '../icons';
import { usePerijove } from '../ui/context';
import { IconButton } from '../ui/iconButton';
import type { Node } from './nodes';

interface ITreeProps {
  nodes: Node[];
  isOpen: (key: string) => boolean;
  setOpen: (node: Node, open: boolean) => void;
  selected?: DatasetSummary;
  onSelect: (table: DatasetSummary | undefined) => void;
  onPreview: (table: DatasetSummary) => void;
  onInsert: (table: DatasetSummary) => void;
}

const ICONS: Record<string, LabIcon> = {
  source: sourceIcon,
  schema: folderIcon,
  table: spreadsheetIcon
};

/** Sources, schemas, tables and columns; arrow keys move, Enter opens. */
export function Tree(props: ITreeProps): ReactElement {
  const { nodes, isOpen, setOpen } = props;
  const { trans } = usePerijove();
  const [focused, setFocused] = useState<string>();
  const tree = useRef<HTMLDivElement>(null);
  const at = Math.max(
    0,
    nodes.findIndex(node => node.key === focused)
  );

  const focus = (index: number): void => {
    const node = nodes[index];
    if (node) {
      setFocused(node.key);
      tree.current?.querySelectorAll<HTMLElement>('[role="treeitem"]')[index]?.focus();
    }
  };
  const select = (node: Node): void => {
    setFocused(node.key);
    props.onSelect(tableOf(node, nodes));
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const node = nodes[at];
    if (!node || event.altKey || event.ctrlKey || event.metaKey || isButton(event.target)) {
      return;
    }
    const open = isOpen(node.key);
    const keys: Record<string, () => void> = {
      ArrowDown: () => focus(at + 1),
      ArrowUp: () => focus(at - 1),
      Home: () => focus(0),
      End: () => focus(nodes.length - 1),
      ArrowRight: () => (canOpen(node) && !open ? setOpen(node, true) : focus(at + 1)),
      ArrowLeft: () => (canOpen(node) && open ? setOpen(node, false) : focus(parentOf(nodes, at))),
      Enter: () => (node.kind === 'table' ? props.onPreview(node.table) : setOpen(node, !open))
    };
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  };
  return (
    <div
      className="pj-Tree"
      role="tree"
      aria-label={trans.__('Data')}
      ref={tree}
      onKeyDown={onKeyDown}
    >
      {nodes.map((node, index) => (
        <div
          key={node.key}
          role="treeitem"
          className="pj-Tree-node"
          aria-level={node.level}
          aria-expanded={canOpen(node) ? isOpen(node.key) : undefined}
          aria-selected={node.kind === 'table' && node.table.name === props.selected?.name}
          tabIndex={index === at ? 0 : -1}
          style={{ paddingInlineStart: `${(node.level - 1) * 14 + 4}px` }}
          onFocus={() => select(node)}
          onClick={() => {
            if (canOpen(node)) {
              setOpen(node, !isOpen(node.key));
            }
          }}
          onDoubleClick={() => node.kind === 'table' && props.onPreview(node.table)}
        >
          <Line node={node} open={isOpen(node.key)} {...props} />
        </div>
      ))}
    </div>
  );
}

function Line({
  node,
  open,
  onPreview,
  onInsert
}: Pick<ITreeProps, 'onPreview' | 'onInsert'> & { node: Node; open: boolean }): ReactElement {
  const { trans } = usePerijove();
  if (node.kind === 'note') {
    return <Note state={node.state} />;
  }
  const Caret = open ? caretDownIcon : caretRightIcon;
  const icon = ICONS[node.kind];
  return (
    <>
      {canOpen(node) && <Caret.react tag="span" className="pj-Tree-caret" />}
      {icon && <icon.react tag="span" className="pj-Tree-icon" />}
      <Label node={node} />
      {node.kind === 'table' && (
        <span className="pj-Row-actions">
          <IconButton
            icon={tableRowsIcon}
            label={trans.__('Preview %1', node.table.table)}
            onClick={() => onPreview(node.table)}
          />
          <IconButton
            icon={addBelowIcon}
            label={trans.__('Insert a cell that reads %1', node.table.table)}
            onClick={() => onInsert(node.table)}
          />
        </span>
      )}
    </>
  );
}

function Label({ node }: { node: Exclude<Node, { kind: 'note' }> }): ReactElement {
  const { trans } = usePerijove();
  switch (node.kind) {
    case 'source':
      return (
        <>
          <span className="pj-Tree-name" title={node.source.description || node.source.name}>
            {node.source.name}
          </span>
          {node.source.state === 'ready' ? (
            <span className="pj-Tree-more">{node.source.kind}</span>
          ) : (
            <Chip state={node.source.state} title={node.source.error ?? undefined} />
          )}
        </>
      );
    case 'schema':
      return (
        <>
          <span className="pj-Tree-name">{node.name}</span>
          <span className="pj-Tree-more">{trans._n('%1 table', '%1 tables', node.tables)}</span>
        </>
      );
    case 'table': {
      const { table } = node;
      const rows = table.row_count;
      return (
        <>
          <span className="pj-Tree-name" title={table.comment || table.name}>
            {table.table}
          </span>
          {typeof rows === 'number' && (
            <span
              className="pj-Tree-more"
              title={trans._n('%2 row', '%2 rows', rows, rows.toLocaleString())}
            >
              {trans._n('%2 row', '%2 rows', rows, compact(rows))}
            </span>
          )}
        </>
      );
    }
    case 'column':
      return (
        <>
          <span
            className="pj-Tree-name pj-mod-column"
            title={node.column.comment || node.column.name}
          >
            {node.column.name}
          </span>
          <code className="pj-Tree-more">{node.column.type}</code>
        </>
      );
  }
}

function Note({ state }: { state: 'loading' | 'empty' | 'failed' | 'more' }): ReactElement {
  const { trans } = usePerijove();
  const words = {
    loading: trans.__('Loading…'),
    empty: trans.__('No tables'),
    failed: trans.__('Could not be read; refresh to try again'),
    more: trans.__('And more: search by name')
  };
  return <span className="pj-Tree-note">{words[state]}</span>;
}

/** Write a count so that it fits beside a name. */
function compact(count: number): string {
  return count < 100_000
    ? count.toLocaleString()
    : count.toLocaleString(undefined, { notation: 'compact' });
}

function canOpen(node: Node): boolean {
  return node.kind === 'source' || node.kind === 'schema' || node.kind === 'table';
}

function isButton(target: EventTarget): boolean {
  return target instanceof HTMLButtonElement;
}

/** The line above with a lower level. */
function parentOf(nodes: Node[], at: number): number {
  const level = nodes[at]?.level ?? 1;
  for (let index = at - 1; index >= 0; index--) {
    if ((nodes[index]?.level ?? 1) < level) {
      return index;
    }
  }
  return at;
}

/** The table a line is or belongs to. */
function tableOf(node: Node, nodes: Node[]): DatasetSummary | undefined {
  if (node.kind === 'table') {
    return node.table;
  }
  const parent = nodes.find(
    other => other.kind === 'table' && node.key.startsWith(`${other.key}/`)
  );
  return parent?.kind === 'table' ? parent.table : undefined;
}
