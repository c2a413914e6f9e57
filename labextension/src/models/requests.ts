import type { IApi } from '../api/requests';
import type { Deployment, DeploymentCreate, IPage, LogChunk, Model } from '../api/types';

export function listModels(api: IApi, q: string, limit: number): Promise<IPage<Model>> {
  return api.answer(api.client.GET('/models', { params: { query: { q, limit } } }));
}

export function listDeployments(api: IApi, q: string, limit: number): Promise<IPage<Deployment>> {
  return api.answer(api.client.GET('/deployments', { params: { query: { q, limit } } }));
}

export function getDeployment(api: IApi, name: string): Promise<Deployment> {
  return api.answer(api.client.GET('/deployments/{name}', { params: { path: { name } } }));
}

export function deploy(api: IApi, wanted: DeploymentCreate, key: string): Promise<Deployment> {
  return api.answer(
    api.client.POST('/deployments', {
      body: wanted,
      params: { header: { 'idempotency-key': key } }
    })
  );
}

export async function undeploy(api: IApi, name: string): Promise<void> {
  await api.answer(api.client.DELETE('/deployments/{name}', { params: { path: { name } } }));
}

export function getDeploymentLog(api: IApi, name: string, offset: number): Promise<LogChunk> {
  return api.answer(
    api.client.GET('/deployments/{name}/logs', { params: { path: { name }, query: { offset } } })
  );
}
