import type { Job, Principal } from '../api/types';
import { usePerijove } from '../ui/context';
import { usePolled } from '../ui/polled';
import { getJob, whoami } from './requests';

/** Whether the API lets somebody run and change a job. */
export function isMine(job: Job, caller: Principal): boolean {
  return (
    caller.admin ||
    job.owner === caller.name ||
    (!!job.owner_group && caller.groups.includes(job.owner_group))
  );
}

/** Know whether who looks may run and change a job; false until that is known. */
export function useMine(jobId: string): boolean {
  const { api } = usePerijove();
  const { data } = usePolled(
    `mine/${jobId}`,
    async () => {
      const [job, caller] = await Promise.all([getJob(api, jobId), whoami(api)]);
      return isMine(job, caller);
    },
    { isLast: () => true }
  );
  return data ?? false;
}
