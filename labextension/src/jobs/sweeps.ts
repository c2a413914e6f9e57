import type { IApi } from '../api/requests';
import type { IPage, Sweep, SweepCreate, SweepTrial } from '../api/types';

/** Most trials in one answer. */
const PAGE = 500;

export function createSweep(
  api: IApi,
  jobId: string,
  body: SweepCreate,
  key: string
): Promise<Sweep> {
  return api.answer(
    api.client.POST('/jobs/{job_id}/sweeps', {
      params: { path: { job_id: jobId }, header: { 'idempotency-key': key } },
      body
    })
  );
}

export function listSweeps(api: IApi, jobId: string, limit: number): Promise<IPage<Sweep>> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/sweeps', {
      params: { path: { job_id: jobId }, query: { limit } }
    })
  );
}

export function getSweep(api: IApi, id: string): Promise<Sweep> {
  return api.answer(api.client.GET('/sweeps/{sweep_id}', { params: { path: { sweep_id: id } } }));
}

/** Every trial of a sweep, which has at most a thousand. */
export async function listTrials(api: IApi, id: string): Promise<SweepTrial[]> {
  const found: SweepTrial[] = [];
  let cursor: string | undefined;
  do {
    const page: IPage<SweepTrial> = await api.answer(
      api.client.GET('/sweeps/{sweep_id}/trials', {
        params: { path: { sweep_id: id }, query: { limit: PAGE, cursor } }
      })
    );
    found.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  return found;
}

export function cancelSweep(api: IApi, id: string): Promise<Sweep> {
  return api.answer(
    api.client.POST('/sweeps/{sweep_id}/cancel', { params: { path: { sweep_id: id } } })
  );
}
