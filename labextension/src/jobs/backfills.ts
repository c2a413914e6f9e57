import type { IApi } from '../api/requests';
import type { Backfill, BackfillCreate, BackfillRun, IPage } from '../api/types';

/** Start a backfill, or with `dry_run` learn what it would do. */
export function createBackfill(
  api: IApi,
  jobId: string,
  body: BackfillCreate,
  key?: string
): Promise<Backfill> {
  return api.answer(
    api.client.POST('/jobs/{job_id}/backfills', {
      params: { path: { job_id: jobId }, header: { 'idempotency-key': key } },
      body
    })
  );
}

export function listBackfills(api: IApi, jobId: string, limit: number): Promise<IPage<Backfill>> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/backfills', {
      params: { path: { job_id: jobId }, query: { limit } }
    })
  );
}

export function getBackfill(api: IApi, id: string): Promise<Backfill> {
  return api.answer(
    api.client.GET('/backfills/{backfill_id}', { params: { path: { backfill_id: id } } })
  );
}

/** One page of a backfill's slots, in order of its range. */
export function listBackfillRuns(
  api: IApi,
  id: string,
  limit: number,
  cursor?: string
): Promise<IPage<BackfillRun>> {
  return api.answer(
    api.client.GET('/backfills/{backfill_id}/runs', {
      params: { path: { backfill_id: id }, query: { limit, cursor } }
    })
  );
}

export function cancelBackfill(api: IApi, id: string): Promise<Backfill> {
  return api.answer(
    api.client.POST('/backfills/{backfill_id}/cancel', { params: { path: { backfill_id: id } } })
  );
}
