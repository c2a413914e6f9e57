import type { IApi } from '../api/requests';
import type {
  Attempt,
  CellTimes,
  Comparison,
  IPage,
  JobVersion,
  Lineage,
  LogChunk,
  RelatedRun,
  Run,
  RunAgain,
  RunFailure,
  RunPoint
} from '../api/types';

/** Versions of a job that are looked through for a run's own. */
const VERSIONS = 500;

export function getCells(api: IApi, run: Run): Promise<CellTimes> {
  const { attempt } = run;
  return api.answer(
    api.client.GET('/runs/{run_id}/cells', {
      params: { path: { run_id: run.id }, query: { attempt } }
    })
  );
}

export function listAttempts(api: IApi, runId: string): Promise<Attempt[]> {
  return api.answer(
    api.client.GET('/runs/{run_id}/attempts', { params: { path: { run_id: runId } } })
  );
}

export function getAttemptLog(
  api: IApi,
  runId: string,
  attempt: number,
  offset: number
): Promise<LogChunk> {
  return api.answer(
    api.client.GET('/runs/{run_id}/logs', {
      params: { path: { run_id: runId }, query: { offset, attempt } }
    })
  );
}

export function getFailure(api: IApi, run: Run): Promise<RunFailure> {
  const { attempt } = run;
  return api.answer(
    api.client.GET('/runs/{run_id}/failure', {
      params: { path: { run_id: run.id }, query: { attempt } }
    })
  );
}

/** Run a run again; a second try with the same key is harmless. */
export function runAgain(api: IApi, runId: string, body: RunAgain, key: string): Promise<Run> {
  return api.answer(
    api.client.POST('/runs/{run_id}/again', {
      params: { path: { run_id: runId }, header: { 'idempotency-key': key } },
      body
    })
  );
}

export function compareRuns(api: IApi, one: string, other: string): Promise<Comparison> {
  return api.answer(
    api.client.GET('/runs/{run_id}/compare/{other}', {
      params: { path: { run_id: one, other } }
    })
  );
}

/** A job's last runs, oldest first. */
export function getSeries(api: IApi, jobId: string, limit: number): Promise<RunPoint[]> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/series', {
      params: { path: { job_id: jobId }, query: { limit } }
    })
  );
}

/** The version that a run ran, or undefined for one too old to be looked for. */
export async function getVersion(api: IApi, run: Run): Promise<JobVersion | undefined> {
  const { items } = await api.answer(
    api.client.GET('/jobs/{job_id}/versions', {
      params: { path: { job_id: run.job_id }, query: { limit: VERSIONS } }
    })
  );
  return items.find(({ version }) => version === run.version);
}

/** The thing at the other end of a run's lineage. */
export type Origin =
  { dataset: string } | { tracked_run: string } | { model: string; version: number };

/** The newest runs that read a dataset, logged a run of MLflow or made a model's version. */
export function listRelated(api: IApi, query: Origin): Promise<IPage<RelatedRun>> {
  return api.answer(api.client.GET('/lineage', { params: { query: { limit: 20, ...query } } }));
}

export function getLineage(api: IApi, runId: string): Promise<Lineage> {
  return api.answer(
    api.client.GET('/runs/{run_id}/lineage', { params: { path: { run_id: runId } } })
  );
}
