import type { ReactElement } from 'react';

import { DatasetPage } from '../catalog/page';
import { ExperimentPage } from '../experiments/page';
import { perijoveIcon } from '../icons';
import { BuildPage } from '../images/buildPage';
import { ImagePage } from '../images/imagePage';
import { BackfillPage } from '../jobs/backfillPage';
import { DiffPage } from '../jobs/diffPage';
import { JobPage } from '../jobs/jobPage';
import { ComparisonPage } from '../jobs/runCompare';
import { RunPage } from '../jobs/runPage';
import { SweepPage } from '../jobs/sweepPage';
import { DeploymentPage } from '../models/page';
import { SharesPage } from '../shares/page';
import type { IPageArgs, IPerijove } from '../tokens';
import { PageContext } from '../ui/context';
import { PerijoveWidget } from '../ui/widget';

/** The content of a main-area tab: one thing's own page. */
export class PageWidget extends PerijoveWidget {
  constructor(
    perijove: IPerijove,
    readonly page: IPageArgs
  ) {
    super(perijove);
    this.title.icon = perijoveIcon;
    // A link does not say what the thing is called.
    this.title.label = this.title.caption = page.title || page.kind;
    this.addClass('pj-PageWidget');
    this.frame = {
      page,
      name: title => {
        page.title = this.title.label = this.title.caption = title;
      }
    };
  }

  protected content(): ReactElement {
    return <PageContext.Provider value={this.frame}>{this.found()}</PageContext.Provider>;
  }

  private readonly frame: { page: IPageArgs; name: (title: string) => void };

  private found(): ReactElement {
    const { kind, id, title } = this.page;
    switch (kind) {
      case 'backfill':
        return <BackfillPage id={id} />;
      case 'build':
        return <BuildPage id={id} />;
      case 'comparison':
        return <ComparisonPage id={id} />;
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
      case 'job-diff':
        return <DiffPage id={id} />;
      case 'run':
        return <RunPage id={id} />;
      case 'shares':
        return <SharesPage />;
      case 'sweep':
        return <SweepPage id={id} />;
    }
  }
}

/** A page's place in the shell: one tab for each thing. */
export function pageKey({ kind, id }: IPageArgs): string {
  return `${kind}:${id}`;
}
