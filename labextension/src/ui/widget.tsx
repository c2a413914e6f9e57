import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { ReactElement } from 'react';

import type { IPerijove } from '../tokens';
import { PerijoveContext, VisibleContext } from './context';

/** A widget whose leaves know Perijove and whether they can be seen. */
export abstract class PerijoveWidget extends ReactWidget {
  constructor(protected readonly perijove: IPerijove) {
    super();
    this.addClass('pj-Widget');
  }

  /** The widget's content. */
  protected abstract content(): ReactElement;

  protected override render(): ReactElement {
    return (
      <PerijoveContext.Provider value={this.perijove}>
        <VisibleContext.Provider value={this.isVisible}>{this.content()}</VisibleContext.Provider>
      </PerijoveContext.Provider>
    );
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.update();
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.update();
  }
}
