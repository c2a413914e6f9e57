import type { TranslationBundle } from '@jupyterlab/translation';

import type { Run } from '../api/types';

/** Whether a run has ended: nothing of it changes any more. */
export function hasEnded(run: Run): boolean {
  return run.state !== 'queued' && run.state !== 'running';
}

/** Who or what made a run. */
export function triggerWords(run: Run, trans: TranslationBundle): string {
  switch (run.trigger) {
    case 'schedule':
      return trans.__('by schedule');
    case 'after':
      return trans.__('after other jobs');
    case 'dataset':
      return trans.__('on new data');
    case 'backfill':
      return trans.__('by a backfill of %1', run.requested_by);
    case 'sweep':
      return trans.__('by a sweep of %1', run.requested_by);
    case 'rerun':
      return trans.__('run again by %1', run.requested_by);
    default:
      return run.requested_by;
  }
}
