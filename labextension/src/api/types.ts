import type { components } from './schema';

type Schemas = components['schemas'];

export type Box = Schemas['Box'];
export type Build = Schemas['Build'];
export type Column = Schemas['Column'];
export type Dataset = Schemas['Dataset'];
export type DatasetSummary = Schemas['DatasetSummary'];
export type Deployment = Schemas['Deployment'];
export type DeploymentCreate = Schemas['DeploymentCreate'];
export type DeploymentState = Schemas['DeploymentState'];
export type Experiment = Schemas['Experiment'];
export type IdleState = Schemas['IdleState'];
export type Image = Schemas['Image'];
export type ImageBuild = Schemas['ImageBuild'];
export type ImageSpec = Schemas['ImageSpec'];
export type ImageVersion = Schemas['ImageVersion'];
export type Inspection = Schemas['Inspection'];
export type Job = Schemas['Job'];
export type JobCreate = Schemas['JobCreate'];
export type JobUpdate = Schemas['JobUpdate'];
export type LogChunk = Schemas['LogChunk'];
export type Model = Schemas['Model'];
export type ModelVersion = Schemas['ModelVersion'];
export type MyUsage = Schemas['MyUsage'];
export type Package = Schemas['Package'];
export type Parameter = Schemas['Parameter'];
export type Principal = Schemas['Principal'];
export type Run = Schemas['Run'];
export type RunState = Schemas['RunState'];
export type Schedule = Schemas['Schedule'];
export type ScheduleState = Schemas['ScheduleState'];
export type Share = Schemas['Share'];
export type ShareCreate = Schemas['ShareCreate'];
export type Source = Schemas['Source'];
export type Table = Schemas['Table'];
export type TrackedRun = Schemas['TrackedRun'];
export type Visibility = Schemas['Visibility'];

/** One page of a list, as every list answers. */
export interface IPage<T> {
  items: T[];
  next_cursor?: string | null;
}
