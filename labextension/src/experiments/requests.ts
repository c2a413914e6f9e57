import type { IApi } from '../api/requests';
import type { Experiment, IPage, TrackedRun } from '../api/types';

export function listExperiments(api: IApi, q: string, limit: number): Promise<IPage<Experiment>> {
  return api.answer(api.client.GET('/experiments', { params: { query: { q, limit } } }));
}

export function listTrackedRuns(api: IApi, id: string, limit: number): Promise<IPage<TrackedRun>> {
  return api.answer(
    api.client.GET('/experiments/{experiment_id}/runs', {
      params: { path: { experiment_id: id }, query: { limit } }
    })
  );
}
