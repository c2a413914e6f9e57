import { PageConfig, URLExt } from '@jupyterlab/coreutils';

/** Milliseconds between two looks, and after which the Hub's own pages say how far it is. */
const PERIOD = 500;
const PATIENCE = 60_000;

/**
 * Where the Hub lets its user start a workspace: a page with an image selected.
 *
 * @param image - `NAME`, or `NAME@VERSION`.
 * @param server - A named server; empty for the default one.
 */
export function spawnUrl(image: string, server: string): string {
  const hub = PageConfig.getOption('hubPrefix') || '/hub/';
  const user = PageConfig.getOption('hubUser');
  const whose = user ? [user, server].filter(Boolean).map(encodeURIComponent) : [];
  const query = `?opt-image=${encodeURIComponent(image)}`;
  return PageConfig.getOption('hubHost') + URLExt.join(hub, 'spawn', ...whose) + query;
}

/** Go to the Hub's start page once it shows it: before that it leads back to what still runs. */
export async function goWhenStopped(url: string): Promise<void> {
  const began = Date.now();
  while (Date.now() - began < PATIENCE) {
    try {
      const { type } = await fetch(url, { redirect: 'manual', credentials: 'same-origin' });
      if (type !== 'opaqueredirect') {
        break;
      }
    } catch {
      // A Hub of another origin cannot be asked; its page can be opened all the same.
      break;
    }
    await new Promise(resolve => setTimeout(resolve, PERIOD));
  }
  window.location.assign(url);
}
