import { useState, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Image, ImageVersion, IPage, Principal } from '../api/types';
import { Chip } from '../ui/chip';
import { usePerijove } from '../ui/context';
import { STEP } from '../ui/list';
import { duration, Moment } from '../ui/moment';
import { Loaded, PageFrame, Section } from '../ui/page';
import { usePolled } from '../ui/polled';
import { sharedWith } from '../ui/sharing';
import { Empty, Failure } from '../ui/states';
import { DataTable } from '../ui/table';
import { Caller } from './caller';
import { buildImage, buildTitle } from './imageForm';
import { Packages } from './packages';
import { Progress } from './progress';
import { getImage, listVersions } from './requests';
import { imageStanding, sizeOf, whyNot } from './standing';
import { Versions } from './versions';

/** An image's own page: what starts from it, what is in it, and how it was made. */
export function ImagePage({ name }: { name: string }): ReactElement {
  const { api } = usePerijove();
  const [limit, setLimit] = useState(STEP);
  const read = async (): Promise<[Image, IPage<ImageVersion>]> =>
    Promise.all([getImage(api, name), listVersions(api, name, limit)]);
  const image = usePolled(`image/${name}?limit=${limit}`, read, { interval: 3000 });
  return (
    <Caller>
      {caller => (
        <Loaded polled={image}>
          {([data, versions]) => (
            <ImageDetail
              image={data}
              versions={versions.items}
              caller={caller}
              onChange={image.refresh}
              onMore={versions.next_cursor ? () => setLimit(limit + STEP) : undefined}
            />
          )}
        </Loaded>
      )}
    </Caller>
  );
}

interface IDetailProps {
  image: Image;
  versions: ImageVersion[];
  caller: Principal;
  onChange: () => void;
  onMore?: () => void;
}

function ImageDetail({ image, versions, caller, onChange, onMore }: IDetailProps): ReactElement {
  const perijove = usePerijove();
  const { actions, trans } = perijove;
  const { name, current } = image;
  const [refusal, setRefusal] = useState<IProblem>();
  const act = (change: Promise<unknown>): void => {
    setRefusal(undefined);
    change.then(onChange, (error: unknown) => setRefusal(asProblem(error)));
  };
  const why = whyNot(image, trans);
  // The API lets only the owner build a name's next version.
  const buildable = !image.builtin && image.owner === caller.name;
  return (
    <PageFrame
      kind={trans.__('Image')}
      title={name}
      chip={<Chip state={imageStanding(image)} />}
      facts={[
        image.builtin ? trans.__('shipped with Perijove') : image.owner,
        sharedWith(image, trans),
        ...(current ? [trans.__('version %1', current), sizeOf(image.size_bytes)] : [])
      ].join(' · ')}
      actions={
        <>
          {buildable && (
            <button
              className={`pj-Button ${current ? '' : 'pj-mod-primary'}`}
              onClick={() => void buildImage(perijove, image)}
            >
              {trans.__('New version…')}
            </button>
          )}
          {current && (
            <button className="pj-Button pj-mod-primary" onClick={() => actions.startWith(name)}>
              {trans.__('Start a workspace with it…')}
            </button>
          )}
        </>
      }
    >
      {refusal && <Failure problem={refusal} />}
      {image.description && <p>{image.description}</p>}
      {why && (
        <p className={`pj-Reason pj-mod-${imageStanding(image)}`} role="status">
          {why}
        </p>
      )}
      <Versions image={image} versions={versions} caller={caller} act={act} onMore={onMore} />
      <Packages image={image} versions={versions} />
      <Builds versions={versions} />
    </PageFrame>
  );
}

function Builds({ versions }: { versions: ImageVersion[] }): ReactElement {
  const { actions, trans } = usePerijove();
  const builds = versions.flatMap(({ build }) => build ?? []);
  return (
    <Section title={trans.__('Builds')}>
      {builds.length === 0 ? (
        <Empty title={trans.__('Not built here')}>
          {trans.__(
            'It is shipped with Perijove: whoever runs the machine makes it with images/build.'
          )}
        </Empty>
      ) : (
        <DataTable
          label={trans.__('Builds')}
          rows={builds}
          rowKey={build => build.id}
          onOpen={build =>
            actions.open({ kind: 'build', id: build.id, title: buildTitle(build, trans) })
          }
          columns={[
            {
              name: trans.__('State'),
              cell: build => <Chip state={build.state} title={build.reason ?? undefined} />
            },
            { name: trans.__('Version'), numeric: true, cell: build => build.version },
            { name: trans.__('Progress'), cell: build => <Progress build={build} /> },
            { name: trans.__('Queued'), cell: build => <Moment at={build.queued_at} /> },
            {
              name: trans.__('Took'),
              numeric: true,
              cell: build => build.started_at && duration(build.started_at, build.ended_at, trans)
            },
            { name: trans.__('By'), cell: build => build.requested_by }
          ]}
        />
      )}
    </Section>
  );
}
