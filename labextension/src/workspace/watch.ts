import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { Poll } from '@lumino/polling';
import { Signal, type ISignal } from '@lumino/signaling';

import type { IApi } from '../api/requests';
import type { IdleState, MyUsage } from '../api/types';

/** What the user's own server says of itself; sizes in MiB. */
export interface IWorkspace {
  server: string;
  memory: {
    used_mb: number | null;
    limit_mb: number | null;
    peak_mb: number | null;
    /** Processes ended for want of memory since the workspace started. */
    kills: number;
  };
  /** Null before the control plane has answered for the first time. */
  idle: IdleState | null;
  /** Remote kernels that do not run yet, after a few seconds. */
  kernels: IWaitingKernel[];
}

/** A remote kernel that has been asked for and does not run yet. */
export interface IWaitingKernel {
  id: string;
  /** Name of the notebook that wants it; empty for a console or none. */
  notebook: string;
  size: string;
  /** What it waits for, in a sentence; null while its container starts. */
  reason: string | null;
}

/** The workspace now, and what it costs. */
export interface ISnapshot {
  workspace: IWorkspace;
  usage?: MyUsage;
}

/** Return the name of the user's server; empty for the default one. */
export async function serverName(settings: ServerConnection.ISettings): Promise<string> {
  return (await ask(settings)).server;
}

async function ask(settings: ServerConnection.ISettings): Promise<IWorkspace> {
  const url = URLExt.join(settings.baseUrl, 'perijove/workspace');
  const response = await ServerConnection.makeRequest(url, {}, settings);
  if (!response.ok) {
    throw new ServerConnection.ResponseError(response);
  }
  return (await response.json()) as IWorkspace;
}

/** Milliseconds between looks; memory moves fast, and the question stays in the container. */
const INTERVAL = 5000;
/** The same while a kernel is waited for. */
const WAITING = 2000;
/** Looks between two questions for the cost, which the control plane answers. */
const COST_EVERY = 12;
/** The same while something is going to be stopped for a quota, which may be raised. */
const WARNED_EVERY = 3;

/** Milliseconds between two notes that a person is there. */
const NOTE_EVERY = 60_000;
/** What a person does and a tab that was left open does not. */
const SIGNS = ['keydown', 'pointerdown', 'wheel'] as const;

/** Looks at the workspace again and again, for the status bar and the warnings. */
export class WorkspaceWatch {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly api: IApi
  ) {
    this.poll = new Poll({
      name: 'perijove:workspace',
      auto: false,
      frequency: { interval: INTERVAL, backoff: true, max: 60_000 },
      standby: 'never',
      factory: () => this.look()
    });
  }

  /** Emitted after every look that was answered. */
  get changed(): ISignal<this, ISnapshot> {
    return this._changed;
  }

  /** Look now and from now on. */
  start(): void {
    void this.poll.start();
    for (const sign of SIGNS) {
      document.addEventListener(sign, () => this.notePresence(), { passive: true, capture: true });
    }
  }

  /** Look now if a kernel is waited for, because it may have come to run. */
  refresh(): void {
    if (this.last?.workspace.kernels.length) {
      void this.poll.refresh();
    }
  }

  /** Keep the workspace for another stretch of its idle time. */
  async keepAlive(): Promise<IdleState> {
    const server = this.last?.workspace.server ?? '';
    const idle = await this.api.answer(
      this.api.client.POST('/workspaces/keep', { body: { server } })
    );
    if (this.last) {
      this.tell({ ...this.last, workspace: { ...this.last.workspace, idle } });
    }
    return idle;
  }

  private async look(): Promise<void> {
    const workspace = await ask(this.settings);
    const interval = workspace.kernels.length > 0 ? WAITING : INTERVAL;
    if (interval !== this.poll.frequency.interval) {
      this.poll.frequency = { ...this.poll.frequency, interval };
    }
    let usage = this.last?.usage;
    const every = usage?.running.some(item => item.warning) ? WARNED_EVERY : COST_EVERY;
    // Not before the control plane has answered the server: then it would be a minute late.
    if (workspace.idle && this.looks++ % every === 0) {
      usage = await this.api.answer(this.api.client.GET('/usage/mine')).catch(() => usage);
    }
    this.tell({ workspace, usage });
  }

  /** Tell the server that a person is there, for those who read and scroll for an hour. */
  private notePresence(): void {
    if (Date.now() - this.noted < NOTE_EVERY) {
      return;
    }
    this.noted = Date.now();
    const url = URLExt.join(this.settings.baseUrl, 'perijove/workspace');
    ServerConnection.makeRequest(url, { method: 'POST' }, this.settings).catch(() => undefined);
  }

  private tell(snapshot: ISnapshot): void {
    this.last = snapshot;
    this._changed.emit(snapshot);
  }

  private readonly poll: Poll;
  private readonly _changed = new Signal<this, ISnapshot>(this);
  private last?: ISnapshot;
  private looks = 0;
  private noted = 0;
}
