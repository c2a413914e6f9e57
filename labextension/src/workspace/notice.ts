import { Notification } from '@jupyterlab/apputils';

type Kind = 'warning' | 'in-progress';

/** One notification that says how something stands, for as long as there is something to say. */
export class Notice {
  /**
   * Say something, in the place of what was said before.
   *
   * @param stage - What has to change before it is said again to somebody who closed it.
   * @param message - What is shown now.
   */
  say(stage: string, message: string, type: Kind, actions: Notification.IAction[] = []): void {
    const options = { actions, autoClose: false as const };
    if (this.id && Notification.update({ id: this.id, message, type, ...options })) {
      this.stage = stage;
      return;
    }
    if (this.stage === stage) {
      return;
    }
    this.stage = stage;
    this.id = Notification.emit(message, type, options);
  }

  /** Take it away. */
  end(): void {
    if (this.id) {
      Notification.dismiss(this.id);
    }
    this.id = this.stage = undefined;
  }

  private id?: string;
  private stage?: string;
}
