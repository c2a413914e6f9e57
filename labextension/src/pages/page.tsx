import type { ReactElement } from 'react';

import { DatasetPage } from '../catalog/page';
import { ExperimentPage } from '../experiments/page';
import { perijoveIcon } from '../icons';
import { BuildPage } from '../images/buildPage';
import { ImagePage } from '../images/imagePage';
import { JobPage } from '../jobs/jobPage';
import { RunPage } from '../jobs/runPage';
import { DeploymentPage } from '../models/page';
import { SharesPage } from '../shares/page';
import type { IPageArgs, IPerijove } from '../tokens';
import { PerijoveWidget } from '../ui/widget';

/** The content of a main-area tab: one thing's own page. */
export class PageWidget extends PerijoveWidget {
  constructor(
    perijove: IPerijove,
    readonly page: IPageArgs
  ) {
    super(perijove);
    this.title.icon = perijoveIcon;
    this.title.label = page.title;
    this.title.caption = page.title;
    this.addClass('pj-PageWidget');
  }

  protected content(): ReactElement {
    const { kind, id, title } = this.page;
    switch (kind) {
      case 'build':
        return <BuildPage id={id} />;
      case 'dataset':
        return <DatasetPage name={id} />;
      case 'deployment':
        return <DeploymentPage name={id} />;
      case 'experiment':
        return <ExperimentPage id={id} name={title} />;
      case 'image':
        return <ImagePage name={id} />;
      case 'job':
        return <JobPage id={id} />;
      case 'run':
        return <RunPage id={id} />;
      case 'shares':
        return <SharesPage />;
    }
  }
}

/** A page's place in the shell: one tab for each thing. */
export function pageKey({ kind, id }: IPageArgs): string {
  return `${kind}:${id}`;
}
