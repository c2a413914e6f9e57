import type { TranslationBundle } from '@jupyterlab/translation';

import type { Build, Image, ImageVersion, Principal } from '../api/types';

/** Whether a build has ended: nothing of it changes any more. */
export function hasEnded(build: Build): boolean {
  return build.state !== 'queued' && build.state !== 'running';
}

/**
 * Say in a word where a version stands.
 *
 * @returns Its state, or `building`, `failed` or `cancelled` while there is nothing to start.
 */
export function standingOf({ state, build }: ImageVersion): string {
  if (state !== 'draft' || !build) {
    return state;
  }
  if (!hasEnded(build)) {
    return 'building';
  }
  return build.state === 'succeeded' ? state : build.state;
}

/** Say in a word where an image stands: approved only while something of it starts. */
export function imageStanding({ current, latest }: Image): string {
  const newest = standingOf(latest);
  return newest === 'building' || !current ? newest : 'approved';
}

/** Say why nothing starts from an image, and what to do; null when something does. */
export function whyNot(image: Image, trans: TranslationBundle): string | null {
  if (image.current) {
    return null;
  }
  const { version } = image.latest;
  switch (standingOf(image.latest)) {
    case 'building':
      return trans.__('Nothing starts from it yet: version %1 is being built.', version);
    case 'tested':
      return trans.__(
        'Nothing starts from it yet: version %1 has passed its tests and waits for an administrator to approve it.',
        version
      );
    case 'failed':
      return trans.__(
        'Nothing starts from it: version %1 could not be built. Look at its build below, then build a new version.',
        version
      );
    case 'retired':
      return trans.__(
        'Nothing starts from it any more: version %1 is retired. To bring it back, build a new version.',
        version
      );
    default:
      return trans.__('Nothing starts from it: no version of it is approved. Build a new one.');
  }
}

/** Whether someone may change an image: retire its versions, cancel its builds. */
export function mayChange(image: Image, caller: Principal): boolean {
  return caller.admin || image.owner === caller.name;
}

/** Whether someone may choose an image's current version. */
export function mayRollBack(image: Image, caller: Principal): boolean {
  return caller.admin || (image.owner === caller.name && image.visibility === 'private');
}

/** Write a size as the engine counts it: `1.4 GB`. */
export function sizeOf(bytes: number | null | undefined): string {
  if (!bytes) {
    return '–';
  }
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}
