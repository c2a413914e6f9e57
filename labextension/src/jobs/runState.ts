import type { Run } from '../api/types';

/** Whether a run has ended: nothing of it changes any more. */
export function hasEnded(run: Run): boolean {
  return run.state !== 'queued' && run.state !== 'running';
}
