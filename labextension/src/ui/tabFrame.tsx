import { refreshIcon, type LabIcon } from '@jupyterlab/ui-components';
import type { ReactElement, ReactNode } from 'react';

import { usePerijove } from './context';
import { IconButton } from './iconButton';
import { Search } from './list';

interface ITabFrameProps {
  /** The search field's label. */
  search: string;
  onSearch: (words: string) => void;
  onRefresh: () => void;
  /** Narrows the list further, below the search field. */
  filter?: ReactNode;
  /** The tab's one primary action. */
  primary: {
    label: string;
    hint?: string;
    icon?: LabIcon;
    disabled?: boolean;
    onClick: () => void;
  };
  children: ReactNode;
}

/** What every tab of the panel looks like: search, primary action, list. */
export function TabFrame(props: ITabFrameProps): ReactElement {
  const { trans } = usePerijove();
  const { primary } = props;
  return (
    <>
      <div className="pj-TabFrame-tools">
        <div className="pj-TabFrame-search">
          <Search label={props.search} onSearch={props.onSearch} />
          <IconButton icon={refreshIcon} label={trans.__('Refresh')} onClick={props.onRefresh} />
        </div>
        {props.filter}
        <button
          className="pj-Button pj-mod-primary"
          disabled={primary.disabled}
          title={primary.hint}
          onClick={primary.onClick}
        >
          {primary.label}
          {primary.icon && <primary.icon.react tag="span" />}
        </button>
      </div>
      <div className="pj-TabFrame-content">{props.children}</div>
    </>
  );
}
