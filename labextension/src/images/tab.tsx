import { launchIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { IconButton } from '../ui/iconButton';
import { List, Row, STEP } from '../ui/list';
import { Moment } from '../ui/moment';
import { usePolled } from '../ui/polled';
import { Empty } from '../ui/states';
import { TabFrame } from '../ui/tabFrame';
import { buildImage } from './imageForm';
import { findImages, type IFound } from './requests';
import { imageStanding, sizeOf } from './standing';

/** The Images tab: the environments workspaces, kernels and jobs start from. */
export function ImagesTab(): ReactElement {
  const perijove = usePerijove();
  const { api, trans } = perijove;
  const [words, setWords] = useState('');
  const [limit, setLimit] = useState(STEP);
  const images = usePolled(`images?q=${words}&limit=${limit}`, () => findImages(api, words, limit));
  return (
    <TabFrame
      search={trans.__('Search images and packages')}
      onSearch={setWords}
      onRefresh={images.refresh}
      primary={{
        label: trans.__('New image…'),
        hint: trans.__('Build an environment with the packages you need'),
        onClick: () => void buildImage(perijove)
      }}
    >
      <List
        label={trans.__('Images')}
        polled={images}
        limit={limit}
        onMore={setLimit}
        empty={
          words ? (
            <Empty title={trans.__('No image is called “%1” or holds such a package', words)}>
              {trans.__('New image… builds one that does.')}
            </Empty>
          ) : (
            <Empty title={trans.__('No images yet')} code="%freeze my-image --build">
              {trans.__(
                'An image is an environment that starts the same everywhere. Press New image, or make one of what you have installed:'
              )}
            </Empty>
          )
        }
        render={found => <ImageRow key={found.image.id} found={found} />}
      />
    </TabFrame>
  );
}

function ImageRow({ found: { image, having } }: { found: IFound }): ReactElement {
  const { actions, trans } = usePerijove();
  const { name, current, latest } = image;
  const standing = imageStanding(image);
  return (
    <Row
      title={name}
      chip={
        <Chip
          state={standing}
          title={standing === 'approved' ? undefined : (latest.build?.reason ?? undefined)}
        />
      }
      onOpen={() => actions.open({ kind: 'image', id: name, title: name })}
      actions={
        current && (
          <IconButton
            icon={launchIcon}
            label={trans.__('Start a workspace with %1…', name)}
            onClick={() => actions.startWith(name)}
          />
        )
      }
    >
      <span>
        {current
          ? [
              trans.__('version %1', current),
              sizeOf(image.size_bytes),
              having && trans.__('has %1', having)
            ]
              .filter(Boolean)
              .join(' · ')
          : trans.__('no version to start')}
      </span>
      <Moment at={image.updated_at} />
    </Row>
  );
}
