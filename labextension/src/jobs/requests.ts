import type { IApi } from '../api/requests';
import type {
  Inspection,
  IPage,
  Job,
  JobCreate,
  JobUpdate,
  JobVersion,
  Policy,
  Principal,
  Resources,
  Run,
  RunState,
  Schedule,
  SchedulePreview,
  Secret,
  VersionDiff
} from '../api/types';

/** The most the API gives at once. */
const MOST = 500;
/** How many suggestions are worth reading. */
const FEW = 20;

export function whoami(api: IApi): Promise<Principal> {
  return api.answer(api.client.GET('/whoami'));
}

export function listJobs(
  api: IApi,
  q: string,
  limit: number,
  state: RunState | null = null
): Promise<IPage<Job>> {
  return api.answer(api.client.GET('/jobs', { params: { query: { q: q || null, limit, state } } }));
}

/** List all the jobs that a choice can be made from. */
export async function listAllJobs(api: IApi): Promise<Job[]> {
  return (await listJobs(api, '', MOST)).items;
}

/** Find somebody's job of a name. */
export async function findJob(api: IApi, name: string, owner: string): Promise<Job | null> {
  const { items } = await api.answer(
    api.client.GET('/jobs', { params: { query: { name, owner, limit: 1 } } })
  );
  return items[0] ?? null;
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

/** What is to change of a job; what is left out stays as it is, also within its parts. */
export type JobChange = Partial<Omit<JobUpdate, 'schedule' | 'resources' | 'policy'>> & {
  schedule?: Partial<Schedule> | null;
  resources?: Partial<Resources> | null;
  policy?: Partial<Policy> | null;
};

export function updateJob(api: IApi, id: string, change: JobChange): Promise<Job> {
  // The types generated from the schema demand what has a default.
  const body = change as JobUpdate;
  return api.answer(api.client.PATCH('/jobs/{job_id}', { params: { path: { job_id: id } }, body }));
}

/** A job's latest version as a file for another scheduler. */
export function exportJob(api: IApi, jobId: string): Promise<string> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/export', {
      params: { path: { job_id: jobId } },
      parseAs: 'text'
    })
  );
}

export async function deleteJob(api: IApi, id: string): Promise<void> {
  await api.answer(api.client.DELETE('/jobs/{job_id}', { params: { path: { job_id: id } } }));
}

export function previewSchedule(api: IApi, schedule: Schedule): Promise<SchedulePreview> {
  return api.answer(api.client.POST('/jobs/schedule/preview', { body: schedule }));
}

export function listJobVersions(
  api: IApi,
  jobId: string,
  limit: number
): Promise<IPage<JobVersion>> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/versions', {
      params: { path: { job_id: jobId }, query: { limit } }
    })
  );
}

/** Approve a version: schedules that follow approved ones run the newest of them. */
export function approveVersion(api: IApi, jobId: string, version: number): Promise<JobVersion> {
  return api.answer(
    api.client.POST('/jobs/{job_id}/versions/{version}/approve', {
      params: { path: { job_id: jobId, version } }
    })
  );
}

/** Take the approval of a version back. */
export async function withdrawVersion(api: IApi, jobId: string, version: number): Promise<void> {
  await api.answer(
    api.client.DELETE('/jobs/{job_id}/versions/{version}/approve', {
      params: { path: { job_id: jobId, version } }
    })
  );
}

/** Tell how version `other` differs from `version`. */
export function diffVersions(
  api: IApi,
  jobId: string,
  version: number,
  other: number
): Promise<VersionDiff> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/versions/{version}/diff/{other}', {
      params: { path: { job_id: jobId, version, other } }
    })
  );
}

/** List the caller's secrets, without their values. */
export function listSecrets(api: IApi): Promise<IPage<Secret>> {
  return api.answer(api.client.GET('/secrets', { params: { query: { limit: MOST } } }));
}

export function putSecret(api: IApi, name: string, value: string): Promise<Secret> {
  return api.answer(
    api.client.PUT('/secrets/{name}', { params: { path: { name } }, body: { value } })
  );
}

/** Suggest datasets of the catalog. */
export async function suggestDatasets(api: IApi, q: string): Promise<string[]> {
  const { items } = await api.answer(
    api.client.GET('/datasets', { params: { query: { q: q || null, limit: FEW } } })
  );
  return items.map(({ name }) => name);
}

export function listRuns(
  api: IApi,
  jobId: string,
  limit: number,
  state: RunState | null = null
): Promise<IPage<Run>> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/runs', {
      params: { path: { job_id: jobId }, query: { limit, state } }
    })
  );
}

export function createRun(
  api: IApi,
  jobId: string,
  parameters: Record<string, unknown>,
  key: string,
  version: number | null = null
): Promise<Run> {
  return api.answer(
    api.client.POST('/jobs/{job_id}/runs', {
      params: { path: { job_id: jobId }, header: { 'idempotency-key': key } },
      body: { parameters, version }
    })
  );
}

export function getRun(api: IApi, id: string): Promise<Run> {
  return api.answer(api.client.GET('/runs/{run_id}', { params: { path: { run_id: id } } }));
}

export function cancelRun(api: IApi, id: string): Promise<Run> {
  return api.answer(api.client.POST('/runs/{run_id}/cancel', { params: { path: { run_id: id } } }));
}
