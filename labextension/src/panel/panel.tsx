import type { TranslationBundle } from '@jupyterlab/translation';
import {
  useContext,
  useId,
  useState,
  type ComponentType,
  type KeyboardEvent,
  type ReactElement
} from 'react';

import { DataTab } from '../catalog/tab';
import { ExperimentsTab } from '../experiments/tab';
import { perijoveIcon } from '../icons';
import { ImagesTab } from '../images/tab';
import { JobsTab } from '../jobs/tab';
import { ModelsTab } from '../models/tab';
import type { IPerijove, TabName } from '../tokens';
import { usePerijove, VisibleContext } from '../ui/context';
import { PerijoveWidget } from '../ui/widget';

const TABS: [TabName, ComponentType][] = [
  ['data', DataTab],
  ['experiments', ExperimentsTab],
  ['jobs', JobsTab],
  ['models', ModelsTab],
  ['images', ImagesTab]
];

/** The panel in the left bar. */
export class PerijovePanel extends PerijoveWidget {
  constructor(perijove: IPerijove) {
    super(perijove);
    this.id = 'perijove-panel';
    this.title.icon = perijoveIcon;
    this.title.caption = perijove.trans.__('Perijove');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', perijove.trans.__('Perijove'));
    this.addClass('pj-Panel');
  }

  /** Bring a tab to the front. */
  showTab(tab: TabName): void {
    this._tab = tab;
    this.update();
  }

  protected content(): ReactElement {
    return <Tabs chosen={this._tab} onChoose={tab => this.showTab(tab)} />;
  }

  private _tab: TabName = 'data';
}

/** Tabs that are made when first shown and then keep what was typed in them. */
function Tabs({
  chosen,
  onChoose
}: {
  chosen: TabName;
  onChoose: (tab: TabName) => void;
}): ReactElement {
  const { trans } = usePerijove();
  const visible = useContext(VisibleContext);
  const id = useId();
  const [seen, setSeen] = useState<TabName[]>([]);
  if (visible && !seen.includes(chosen)) {
    setSeen([...seen, chosen]);
  }
  const onKeyDown = (event: KeyboardEvent<HTMLElement>): void => {
    const at = TABS.findIndex(([name]) => name === chosen);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step && TABS[(at + step + TABS.length) % TABS.length];
    if (next) {
      event.preventDefault();
      onChoose(next[0]);
      document.getElementById(`${id}-${next[0]}`)?.focus();
    }
  };
  return (
    <>
      <div
        className="pj-Tabs"
        role="tablist"
        aria-label={trans.__('Perijove')}
        onKeyDown={onKeyDown}
      >
        {TABS.map(([name]) => (
          <button
            key={name}
            id={`${id}-${name}`}
            role="tab"
            className="pj-Tab"
            aria-selected={name === chosen}
            aria-controls={`${id}-${name}-panel`}
            tabIndex={name === chosen ? 0 : -1}
            onClick={() => onChoose(name)}
          >
            {tabLabel(name, trans)}
          </button>
        ))}
      </div>
      {TABS.map(([name, Content]) => (
        <div
          key={name}
          id={`${id}-${name}-panel`}
          role="tabpanel"
          className="pj-TabPanel"
          aria-labelledby={`${id}-${name}`}
          hidden={name !== chosen}
        >
          {seen.includes(name) && (
            <VisibleContext.Provider value={visible && name === chosen}>
              <Content />
            </VisibleContext.Provider>
          )}
        </div>
      ))}
    </>
  );
}

function tabLabel(name: TabName, trans: TranslationBundle): string {
  return {
    data: trans.__('Data'),
    experiments: trans.__('Experiments'),
    jobs: trans.__('Jobs'),
    models: trans.__('Models'),
    images: trans.__('Images')
  }[name];
}
