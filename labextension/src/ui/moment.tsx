import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

/** A time as people say it, with the exact one on hover. */
export function Moment({ at }: { at: string }): ReactElement {
  return (
    <time dateTime={at} title={Time.format(at)}>
      {Time.formatHuman(at, 'narrow')}
    </time>
  );
}

/**
 * Say how long something took or has been running.
 *
 * @param start - When it began.
 * @param end - When it ended; null while it goes on.
 */
export function duration(
  start: string,
  end: string | null | undefined,
  trans: TranslationBundle
): string {
  const until = end ? Date.parse(end) : Date.now();
  const seconds = Math.max(0, (until - Date.parse(start)) / 1000);
  if (seconds < 10) {
    return trans.__('%1 s', seconds.toFixed(1));
  }
  if (seconds < 60) {
    return trans.__('%1 s', Math.round(seconds));
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return trans.__('%1 min %2 s', minutes, Math.floor(seconds % 60));
  }
  return trans.__('%1 h %2 min', Math.floor(minutes / 60), minutes % 60);
}
