import type { IApi } from '../api/requests';
import type {
  Inspection,
  IPage,
  Job,
  JobCreate,
  JobUpdate,
  LogChunk,
  Principal,
  Run
} from '../api/types';

export function whoami(api: IApi): Promise<Principal> {
  return api.answer(api.client.GET('/whoami'));
}

export function listJobs(api: IApi, q: string, limit: number): Promise<IPage<Job>> {
  return api.answer(api.client.GET('/jobs', { params: { query: { q: q || null, limit } } }));
}

export function getJob(api: IApi, id: string): Promise<Job> {
  return api.answer(api.client.GET('/jobs/{job_id}', { params: { path: { job_id: id } } }));
}

export function inspectNotebook(api: IApi, notebook: JobCreate['notebook']): Promise<Inspection> {
  return api.answer(api.client.POST('/jobs/inspect', { body: { notebook } }));
}

export function createJob(api: IApi, job: JobCreate, key: string): Promise<Job> {
  return api.answer(
    api.client.POST('/jobs', { body: job, params: { header: { 'idempotency-key': key } } })
  );
}

export function updateJob(api: IApi, id: string, change: JobUpdate): Promise<Job> {
  return api.answer(
    api.client.PATCH('/jobs/{job_id}', { params: { path: { job_id: id } }, body: change })
  );
}

export async function deleteJob(api: IApi, id: string): Promise<void> {
  await api.answer(api.client.DELETE('/jobs/{job_id}', { params: { path: { job_id: id } } }));
}

export function listRuns(api: IApi, jobId: string, limit: number): Promise<IPage<Run>> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/runs', {
      params: { path: { job_id: jobId }, query: { limit } }
    })
  );
}

export function createRun(
  api: IApi,
  jobId: string,
  parameters: Record<string, unknown>,
  key: string
): Promise<Run> {
  return api.answer(
    api.client.POST('/jobs/{job_id}/runs', {
      params: { path: { job_id: jobId }, header: { 'idempotency-key': key } },
      body: { parameters }
    })
  );
}

export function getRun(api: IApi, id: string): Promise<Run> {
  return api.answer(api.client.GET('/runs/{run_id}', { params: { path: { run_id: id } } }));
}

export function cancelRun(api: IApi, id: string): Promise<Run> {
  return api.answer(api.client.POST('/runs/{run_id}/cancel', { params: { path: { run_id: id } } }));
}

export function getRunLog(api: IApi, id: string, offset: number): Promise<LogChunk> {
  return api.answer(
    api.client.GET('/runs/{run_id}/logs', {
      params: { path: { run_id: id }, query: { offset } }
    })
  );
}
