import type { TranslationBundle } from '@jupyterlab/translation';

import type { IApi } from '../api/requests';
import { tellFailure } from '../ui/failure';
import { Notice } from './notice';
import type { ISnapshot, IWaitingKernel, WorkspaceWatch } from './watch';

/** Tells what remote kernels wait for, which their notebooks cannot, and lets people give up. */
export class Waits {
  constructor(
    watch: WorkspaceWatch,
    private readonly api: IApi,
    private readonly trans: TranslationBundle
  ) {
    watch.changed.connect((_, snapshot) => this.look(snapshot));
  }

  private look({ workspace }: ISnapshot): void {
    const waiting = new Set(workspace.kernels.map(kernel => kernel.id));
    for (const [id, notice] of this.notices) {
      if (!waiting.has(id)) {
        notice.end();
        this.notices.delete(id);
      }
    }
    for (const kernel of workspace.kernels) {
      this.say(kernel);
    }
  }

  private say({ id, notebook, size, reason }: IWaitingKernel): void {
    const notice = this.notices.get(id) ?? new Notice();
    this.notices.set(id, notice);
    const what = reason ?? this.trans.__('Its container starts.');
    const whose = notebook || this.trans.__('Remote kernel');
    notice.say(what, this.trans.__('%1 (%2): %3', whose, size, what), 'in-progress', [
      {
        label: this.trans.__('Cancel'),
        caption: this.trans.__('Shut this kernel down; it waits no longer'),
        callback: () => void this.cancel(id)
      }
    ]);
  }

  private async cancel(id: string): Promise<void> {
    try {
      const path = { kernel_id: id };
      await this.api.answer(this.api.client.DELETE('/kernels/{kernel_id}', { params: { path } }));
    } catch (error) {
      tellFailure(error);
    }
  }

  private readonly notices = new Map<string, Notice>();
}
