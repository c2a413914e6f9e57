import type { IApi } from '../api/requests';
import type { Delivery, IPage, Notification, NotificationCreate } from '../api/types';

/** More than a job can have. */
const ALL = 50;
/** Of its messages, the newest. */
const NEWEST = 20;

export function listNotifications(api: IApi, jobId: string): Promise<IPage<Notification>> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/notifications', {
      params: { path: { job_id: jobId }, query: { limit: ALL } }
    })
  );
}

/** Its newest messages, and why any did not arrive; for who may change the job. */
export function listDeliveries(api: IApi, jobId: string): Promise<IPage<Delivery>> {
  return api.answer(
    api.client.GET('/jobs/{job_id}/deliveries', {
      params: { path: { job_id: jobId }, query: { limit: NEWEST } }
    })
  );
}

export function createNotification(
  api: IApi,
  jobId: string,
  wanted: NotificationCreate
): Promise<Notification> {
  return api.answer(
    api.client.POST('/jobs/{job_id}/notifications', {
      params: { path: { job_id: jobId } },
      body: wanted
    })
  );
}

/** Send a message that tells of no run; fails when it does not arrive. */
export function tryNotification(api: IApi, id: string): Promise<Notification> {
  return api.answer(
    api.client.POST('/notifications/{notification_id}/test', {
      params: { path: { notification_id: id } }
    })
  );
}

export async function deleteNotification(api: IApi, id: string): Promise<void> {
  await api.answer(
    api.client.DELETE('/notifications/{notification_id}', {
      params: { path: { notification_id: id } }
    })
  );
}
