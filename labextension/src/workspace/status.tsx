import { VDomModel, VDomRenderer } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { ISnapshot } from './watch';

/** From this part of the limit on, memory is shown as nearly used up. */
const NEARLY = 0.85;

/** What the status bar shows. */
export class StatusModel extends VDomModel {
  /** Show another look at the workspace. */
  show(snapshot: ISnapshot): void {
    this.snapshot = snapshot;
    this.stateChanged.emit();
  }

  snapshot?: ISnapshot;
}

/** Size, memory of limit, idle timer and cost so far. */
export class StatusItem extends VDomRenderer<StatusModel> {
  constructor(
    model: StatusModel,
    private readonly trans: TranslationBundle,
    private readonly onClick: () => void
  ) {
    super(model);
    this.addClass('pj-Status');
  }

  protected override render(): ReactElement | null {
    const { snapshot } = this.model;
    if (!snapshot?.workspace.idle) {
      return null;
    }
    const parts = [
      mine(snapshot)?.size,
      memory(snapshot, this.trans),
      timer(snapshot, this.trans),
      cost(snapshot)
    ].filter(Boolean);
    const { used_mb: used, limit_mb: limit } = snapshot.workspace.memory;
    const nearly = used !== null && limit !== null && used > NEARLY * limit;
    return (
      <button
        className={nearly ? 'pj-Status-button pj-mod-nearly' : 'pj-Status-button'}
        title={explain(snapshot, this.trans)}
        aria-label={this.trans.__('Workspace: %1', parts.join(', '))}
        onClick={this.onClick}
      >
        {parts.join(' · ')}
      </button>
    );
  }
}

function mine({ workspace, usage }: ISnapshot) {
  const running = usage?.running.filter(item => item.kind === 'workspace') ?? [];
  return running.find(item => item.object.endsWith(`/${workspace.server}`)) ?? running[0];
}

function memory({ workspace }: ISnapshot, trans: TranslationBundle): string | undefined {
  const { used_mb: used, limit_mb: limit } = workspace.memory;
  if (used === null || limit === null) {
    return undefined;
  }
  return trans.__('%1 of %2 GiB', gib(used), gib(limit));
}

function timer({ workspace }: ISnapshot, trans: TranslationBundle): string | undefined {
  const { idle } = workspace;
  if (!idle) {
    return undefined;
  }
  if (idle.busy.length > 0) {
    return trans.__('busy');
  }
  return trans.__('off in %1', minutesLeft(idle.shut_off_at, trans));
}

function cost(snapshot: ISnapshot): string | undefined {
  const running = mine(snapshot);
  if (!running?.price) {
    return undefined;
  }
  return `${running.cost.toFixed(2)} ${snapshot.usage?.currency ?? ''}`;
}

function explain({ workspace }: ISnapshot, trans: TranslationBundle): string {
  const { idle, memory: now } = workspace;
  const lines = [];
  if (now.peak_mb !== null) {
    lines.push(trans.__('Most memory so far: %1 GiB', gib(now.peak_mb)));
  }
  if (idle) {
    const off = new Date(idle.shut_off_at).toLocaleTimeString();
    lines.push(
      idle.busy.length > 0
        ? trans.__(
            'Kept alive by: %1',
            idle.busy.map(({ kind, name }) => `${kind} ${name}`).join(', ')
          )
        : trans.__('Shut off at %1 if nothing happens', off)
    );
  }
  lines.push(trans.__('Click to keep it alive'));
  return lines.join('\n');
}

/** Say how long it is until an instant, in minutes; at least one. */
export function minutesLeft(until: string, trans: TranslationBundle): string {
  const minutes = Math.max(1, Math.round((new Date(until).getTime() - Date.now()) / 60_000));
  if (minutes < 120) {
    return trans.__('%1 min', minutes);
  }
  return trans.__('%1 h', Math.round(minutes / 60));
}

function gib(mib: number): string {
  return (mib / 1024).toFixed(1);
}
