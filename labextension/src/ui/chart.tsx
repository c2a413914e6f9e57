import { useEffect, useRef, useState, type ReactElement, type RefObject } from 'react';

import { usePerijove } from './context';

/** JupyterLab draws this by the Vega-Lite 5 that it carries. */
const MIME = 'application/vnd.vegalite.v5+json';

/** A Vega-Lite specification without size and colours of its own. */
export type ISpec = Record<string, unknown>;

/** Colours of the theme, as charts need them. */
export interface ITheme {
  text: string;
  quiet: string;
  grid: string;
  brand: string;
  /** By state of a run. */
  states: Record<string, string>;
}

/** A chart in the theme's colours, as wide as its place. */
export function Chart({ label, spec }: { label: string; spec: ISpec }): ReactElement {
  const { rendermime, trans } = usePerijove();
  const theme = useTheme();
  const place = useRef<HTMLDivElement>(null);
  const [failed, setFailed] = useState(false);
  const width = useWidth(place);
  const content = JSON.stringify(spec);
  useEffect(() => {
    const host = place.current;
    if (!rendermime?.mimeTypes.includes(MIME) || !host || !width) {
      return;
    }
    let current = true;
    const renderer = rendermime.createRenderer(MIME);
    const drawn = JSON.parse(content) as Record<string, never>;
    const model = rendermime.createModel({
      data: { [MIME]: { ...frame(theme, width), ...drawn, description: label } },
      metadata: { [MIME]: { embed_options: { actions: false } } },
      trusted: true
    });
    renderer.renderModel(model).then(
      () => current && host.replaceChildren(renderer.node),
      () => current && setFailed(true)
    );
    return () => {
      current = false;
      renderer.dispose();
    };
  }, [rendermime, content, label, theme, width]);
  const missing = failed || !rendermime?.mimeTypes.includes(MIME);
  return (
    <figure className="pj-Chart" aria-label={label}>
      <figcaption>{label}</figcaption>
      {missing ? (
        <p className="pj-Facts">{trans.__('JupyterLab’s Vega extension does not draw it.')}</p>
      ) : (
        <div ref={place} className="pj-Chart-place" />
      )}
    </figure>
  );
}

/** The width of an element in pixels; 0 while nobody can see it. */
function useWidth(place: RefObject<HTMLElement>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const host = place.current;
    if (!host) {
      return;
    }
    // Vega looks only once, and only when the window changes.
    const observer = new ResizeObserver(() => setWidth(Math.floor(host.clientWidth)));
    observer.observe(host);
    return () => observer.disconnect();
  }, [place]);
  return width;
}

/** The theme's colours; others after the theme has changed. */
export function useTheme(): ITheme {
  const [theme, setTheme] = useState(readTheme);
  useEffect(() => {
    const observer = new MutationObserver(() => {
      // The style sheet of the new theme is there by now, and read once.
      setTheme(before => {
        const now = readTheme();
        return JSON.stringify(now) === JSON.stringify(before) ? before : now;
      });
    });
    observer.observe(document.body, {
      attributes: true,
      attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light']
    });
    return () => observer.disconnect();
  }, []);
  return theme;
}

function readTheme(): ITheme {
  const style = getComputedStyle(document.body);
  const read = (name: string): string => style.getPropertyValue(name).trim();
  return {
    text: read('--jp-ui-font-color1'),
    quiet: read('--jp-ui-font-color2'),
    grid: read('--jp-border-color2'),
    brand: read('--jp-brand-color1'),
    states: {
      succeeded: read('--jp-success-color1'),
      failed: read('--jp-error-color1'),
      lost: read('--jp-warn-color1'),
      cancelled: read('--jp-ui-font-color3'),
      running: read('--jp-brand-color1'),
      queued: read('--jp-border-color1')
    }
  };
}

function frame(theme: ITheme, width: number): ISpec {
  const words = { labelColor: theme.quiet, titleColor: theme.quiet };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    width,
    height: 160,
    autosize: { type: 'fit-x', contains: 'padding' },
    background: 'transparent',
    config: {
      axis: { ...words, gridColor: theme.grid, domainColor: theme.grid, tickColor: theme.grid },
      legend: words,
      view: { stroke: null }
    }
  };
}
