import { Notification } from '@jupyterlab/apputils';

import { asProblem } from '../api/requests';

/** Say what went wrong and how to mend it, until the reader closes it: else it is only counted. */
export function tellFailure(error: unknown): void {
  const { title, detail, fix } = asProblem(error);
  Notification.error([detail ?? title, fix].filter(Boolean).join(' '), { autoClose: false });
}
