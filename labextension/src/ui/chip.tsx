import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import { usePerijove } from './context';

type Tone = 'good' | 'bad' | 'busy' | 'warn' | 'quiet';

const TONES: Record<string, Tone> = {
  approved: 'good',
  building: 'busy',
  cancelled: 'quiet',
  ended: 'good',
  failed: 'bad',
  finished: 'good',
  killed: 'quiet',
  lost: 'warn',
  no_metric: 'warn',
  pending: 'busy',
  queued: 'quiet',
  ready: 'good',
  running: 'busy',
  scheduled: 'quiet',
  starting: 'busy',
  stopped: 'warn',
  stopping: 'busy',
  succeeded: 'good',
  tested: 'warn'
};

/** A state in a word and a colour. */
export function Chip({ state, title }: { state: string; title?: string }): ReactElement {
  const { trans } = usePerijove();
  return (
    <span className={`pj-Chip pj-mod-${TONES[state] ?? 'quiet'}`} title={title}>
      {stateWord(state, trans)}
    </span>
  );
}

/** Say a state in a word. */
export function stateWord(state: string, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    approved: trans.__('approved'),
    building: trans.__('building'),
    cancelled: trans.__('cancelled'),
    draft: trans.__('draft'),
    ended: trans.__('ended'),
    failed: trans.__('failed'),
    finished: trans.__('finished'),
    killed: trans.__('killed'),
    lost: trans.__('lost'),
    never: trans.__('never run'),
    no_metric: trans.__('no metric'),
    paused: trans.__('paused'),
    pending: trans.__('pending'),
    queued: trans.__('queued'),
    ready: trans.__('ready'),
    retired: trans.__('retired'),
    running: trans.__('running'),
    scheduled: trans.__('scheduled'),
    starting: trans.__('starting'),
    stopped: trans.__('stopped'),
    stopping: trans.__('stopping'),
    succeeded: trans.__('succeeded'),
    tested: trans.__('tested')
  };
  return words[state] ?? state;
}
