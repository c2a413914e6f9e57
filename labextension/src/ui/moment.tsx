import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

/** Units from the largest on, with their length in seconds. */
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60]
];

/** A time as people say it, with the exact one on hover. */
export function Moment({ at }: { at: string }): ReactElement {
  return (
    <time dateTime={at} title={Time.format(at)}>
      {relative(at)}
    </time>
  );
}

/** Say how far a time is away; JupyterLab's own formatter knows only the past. */
function relative(at: string): string {
  const seconds = (Date.parse(at) - Date.now()) / 1000;
  const locale = document.documentElement.lang || undefined;
  const format = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'narrow' });
  const unit = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  return unit
    ? format.format(Math.trunc(seconds / unit[1]), unit[0])
    : format.format(Math.trunc(seconds), 'second');
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
  return secondsWords(Math.max(0, (until - Date.parse(start)) / 1000), trans);
}

/** Write a number of seconds as people read it. */
export function secondsWords(seconds: number, trans: TranslationBundle): string {
  if (seconds < 60) {
    return trans.__('%1 s', seconds < 10 ? seconds.toFixed(1) : Math.round(seconds));
  }
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? trans.__('%1 min %2 s', minutes, Math.floor(seconds % 60))
    : trans.__('%1 h %2 min', Math.floor(minutes / 60), minutes % 60);
}
