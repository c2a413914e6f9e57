import { PageConfig } from '@jupyterlab/coreutils';

/** The image that this workspace runs in, `NAME@VERSION`; null where there are no images. */
export function imageHere(): string | null {
  return PageConfig.getOption('perijoveImage') || null;
}
