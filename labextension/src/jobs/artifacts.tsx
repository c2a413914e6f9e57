import { downloadIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import type { Artifact, Run } from '../api/types';
import { usePerijove } from '../ui/context';
import { Section } from '../ui/page';
import { bytesWords } from '../ui/size';

/** Endings of files that are shown in place, in a frame that can do nothing. */
const VIEWABLE = /\.(csv|gif|html|jpe?g|json|log|md|png|svg|tsv|txt|webp|ya?ml)$/i;

/** The files a run left: to look at, or to download. */
export function Artifacts({ run }: { run: Run }): ReactElement | null {
  const { api, trans } = usePerijove();
  const [shown, setShown] = useState<string>();
  if (run.artifacts.length === 0) {
    return null;
  }
  const url = ({ path }: Artifact): string =>
    api.url('runs', run.id, 'artifacts', ...path.split('/'));
  const open = run.artifacts.find(({ path }) => path === shown);
  return (
    <Section title={trans.__('Files')}>
      <ul className="pj-Artifacts" aria-label={trans.__('Files of the run')}>
        {run.artifacts.map(artifact => (
          <li key={artifact.path}>
            <code title={artifact.sha256}>{artifact.path}</code>
            <span className="pj-Facts">{bytesWords(artifact.bytes)}</span>
            {VIEWABLE.test(artifact.path) && (
              <button
                className="pj-Button pj-mod-small"
                aria-expanded={shown === artifact.path}
                aria-label={trans.__('View %1', artifact.path)}
                onClick={() => setShown(shown === artifact.path ? undefined : artifact.path)}
              >
                {shown === artifact.path ? trans.__('Hide') : trans.__('View')}
              </button>
            )}
            <a
              className="pj-Button pj-mod-small"
              href={url(artifact)}
              download={artifact.path.split('/').pop()}
              aria-label={trans.__('Download %1', artifact.path)}
            >
              <downloadIcon.react tag="span" />
              {trans.__('Download')}
            </a>
          </li>
        ))}
      </ul>
      {open && (
        // What others wrote: no scripts, no origin, no cookies.
        <iframe
          key={open.path}
          className="pj-Notebook pj-mod-file"
          sandbox=""
          referrerPolicy="no-referrer"
          title={open.path}
          src={`${url(open)}?view=true`}
        />
      )}
    </Section>
  );
}
