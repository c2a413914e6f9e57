import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { asProblem } from '../api/requests';
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
      this.idleId = this.say(this.idleId, message, 'warning', [
        { label: this.trans.__('Keep alive'), callback: () => void this.keep() }
      ]);
    } else if (idle?.state === 'stopping') {
      if (!this.saved) {
        this.saved = true;
        void this.remedies.saveAll();
      }
      const message = this.trans.__('This workspace is being shut off because it was idle.');
      this.idleId = this.say(this.idleId, message, 'warning', []);
    } else if (this.idleId) {
      Notification.dismiss(this.idleId);
      this.idleId = undefined;
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
    const text = usage?.running.map(item => item.warning).find(Boolean);
    if (text && text !== this.quota) {
      Notification.warning(text, { autoClose: false });
    }
    this.quota = text;
  }

  private async keep(): Promise<void> {
    try {
      const idle = await this.watch.keepAlive();
      Notification.success(
        this.trans.__('Kept for another %1', minutesLeft(idle.shut_off_at, this.trans)),
        { autoClose: 5000 }
      );
    } catch (error) {
      const { detail, title, fix } = asProblem(error);
      Notification.error([detail ?? title, fix].filter(Boolean).join(' '));
    }
  }

  /** Say something new, or say it in the place of what was said before. */
  private say(
    id: string | undefined,
    message: string,
    type: 'warning',
    actions: Notification.IAction[]
  ): string {
    if (id && Notification.update({ id, message, type, actions, autoClose: false })) {
      return id;
    }
    return Notification.emit(message, type, { actions, autoClose: false });
  }

  private idleId?: string;
  private saved = false;
  private kills?: number;
  private quota?: string | null;
}
