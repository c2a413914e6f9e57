import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { tellFailure } from '../ui/failure';
import { Notice } from './notice';
import { minutesLeft } from './status';
import type { ISnapshot, WorkspaceWatch } from './watch';

/** What warnings can do about what they warn of. */
export interface IRemedies {
  /** Save every open document. */
  saveAll(): Promise<void>;
  /** Open the Hub's page on which a larger size can be chosen. */
  openHub(): void;
}

/** Tells the user before the workspace is shut off, and when memory has run out. */
export class Warnings {
  constructor(
    private readonly watch: WorkspaceWatch,
    private readonly remedies: IRemedies,
    private readonly trans: TranslationBundle
  ) {
    watch.changed.connect((_, snapshot) => this.look(snapshot));
  }

  private look(snapshot: ISnapshot): void {
    this.lookAtIdle(snapshot);
    this.lookAtMemory(snapshot);
    this.lookAtQuota(snapshot);
  }

  private lookAtIdle({ workspace: { idle } }: ISnapshot): void {
    if (idle?.state === 'warned') {
      const message = this.trans.__(
        'This workspace is idle and will be shut off in %1. Files stay; what kernels hold in memory is lost.',
        minutesLeft(idle.shut_off_at, this.trans)
      );
      this.idle.say('warned', message, 'warning', [
        { label: this.trans.__('Keep alive'), callback: () => void this.keep() }
      ]);
    } else if (idle?.state === 'stopping') {
      if (!this.saved) {
        this.saved = true;
        void this.remedies.saveAll();
      }
      const message = idle.reason
        ? this.trans.__('This workspace is being stopped. %1', idle.reason)
        : this.trans.__('This workspace is being shut off because it was idle.');
      this.idle.say('stopping', message, 'warning');
    } else {
      this.idle.end();
      this.saved = false;
    }
  }

  private lookAtMemory({ workspace: { memory, idle } }: ISnapshot): void {
    const before = this.kills ?? memory.kills;
    this.kills = memory.kills;
    if (memory.kills <= before) {
      return;
    }
    const peak = memory.peak_mb === null ? '' : Math.round(memory.peak_mb);
    const limit = memory.limit_mb === null ? '' : Math.round(memory.limit_mb);
    const larger = idle?.larger
      ? this.trans.__('The next larger size is %1.', idle.larger)
      : this.trans.__('There is no larger size for you.');
    Notification.error(
      this.trans.__(
        'A kernel or another process ran out of memory and was ended: %1 of %2 MiB were in use.',
        peak,
        limit
      ) + ` ${larger}`,
      {
        autoClose: false,
        actions: idle?.larger
          ? [{ label: this.trans.__('Change size'), callback: () => this.remedies.openHub() }]
          : []
      }
    );
  }

  private lookAtQuota({ usage }: ISnapshot): void {
    const warned = usage?.running.filter(item => item.warning && item.stops_at) ?? [];
    const [first] = warned.sort((one, two) => instant(one.stops_at) - instant(two.stops_at));
    if (!first?.warning || !first.stops_at) {
      this.quota.end();
      return;
    }
    const left = minutesLeft(first.stops_at, this.trans);
    const what = first.kind === 'kernel' ? this.trans.__('A kernel') : this.trans.__('A workspace');
    // First: JupyterLab cuts long messages off.
    const end = this.trans.__('%1 of yours will be stopped in %2; save your work.', what, left);
    this.quota.say('warned', `${end} ${first.warning}`, 'warning', [
      { label: this.trans.__('Save all'), callback: () => void this.remedies.saveAll() }
    ]);
  }

  private async keep(): Promise<void> {
    try {
      const idle = await this.watch.keepAlive();
      Notification.success(
        this.trans.__('Kept for another %1', minutesLeft(idle.shut_off_at, this.trans)),
        { autoClose: 5000 }
      );
    } catch (error) {
      tellFailure(error);
    }
  }

  private readonly idle = new Notice();
  private readonly quota = new Notice();
  private saved = false;
  private kills?: number;
}

function instant(text?: string | null): number {
  return text ? new Date(text).getTime() : Infinity;
}
