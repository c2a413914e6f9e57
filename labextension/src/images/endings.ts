import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Poll } from '@lumino/polling';

import type { Build, ImageVersion } from '../api/types';
import type { IPerijove } from '../tokens';
import { buildTitle } from './imageForm';
import { getVersion, listMyBuilds } from './requests';
import { hasEnded } from './standing';

/** Milliseconds between two looks: while something is being built, and otherwise. */
const SOON = 5000;
const LATER = 60_000;

/**
 * Says that a build of the caller's has ended, once each: not again after a reload, and after a
 * reload also of what ended meanwhile.
 */
export class BuildEndings {
  /**
   * @param key - Under which the browser remembers what was told; another for each user.
   */
  constructor(
    private readonly perijove: IPerijove,
    private readonly key: string
  ) {
    this.poll = new Poll({
      name: 'perijove:builds',
      auto: false,
      frequency: { interval: SOON, backoff: true, max: 120_000 },
      standby: 'when-hidden',
      factory: () => this.look()
    });
  }

  /** Look now and from now on. */
  start(): void {
    void this.poll.start();
  }

  private async look(): Promise<void> {
    const builds = await listMyBuilds(this.perijove.api);
    const ended = builds.filter(hasEnded);
    const interval = ended.length < builds.length ? SOON : LATER;
    if (interval !== this.poll.frequency.interval) {
      this.poll.frequency = { ...this.poll.frequency, interval };
    }
    const told = this.told();
    if (told === null) {
      // Whoever is here for the first time is not told of the past.
      localStorage.setItem(this.key, `${Math.max(0, ...ended.map(endOf))}`);
      return;
    }
    for (const build of ended.filter(one => endOf(one) > told).reverse()) {
      await this.tell(build);
    }
  }

  private async tell(build: Build): Promise<void> {
    const { actions, api, trans } = this.perijove;
    const { state } = await getVersion(api, build.image, build.version);
    // By now another tab may have told it. Kept at once, so that a reload does not say it again.
    if (endOf(build) <= (this.told() ?? 0)) {
      return;
    }
    localStorage.setItem(this.key, `${endOf(build)}`);
    const message = messageOf(build, state, trans);
    if (!message) {
      return;
    }
    Notification.emit(...message, {
      autoClose: false,
      actions: [
        {
          label: trans.__('Open'),
          callback: () =>
            actions.open({ kind: 'build', id: build.id, title: buildTitle(build, trans) })
        }
      ]
    });
  }

  /** When the last build ended that was told; null when none ever was. */
  private told(): number | null {
    const kept = localStorage.getItem(this.key);
    return kept === null ? null : Number(kept) || 0;
  }

  private readonly poll: Poll;
}

/** When a build ended, in milliseconds. */
function endOf({ ended_at: ended }: Build): number {
  return ended ? Date.parse(ended) : 0;
}

/** What to say of an end, and how loudly; nothing to whoever brought it about. */
function messageOf(
  build: Build,
  state: ImageVersion['state'],
  trans: TranslationBundle
): [string, Notification.TypeOptions] | undefined {
  const name = `${build.image}@${build.version}`;
  const why = (build.reason ?? '').split('\n')[0];
  switch (build.state) {
    case 'failed':
      return [trans.__('%1 could not be built: %2', name, why), 'error'];
    case 'cancelled':
      return why === `Cancelled by ${build.requested_by}.`
        ? undefined
        : [trans.__('The build of %1 was ended: %2', name, why), 'warning'];
    default:
      return state === 'tested'
        ? [
            trans.__('%1 has passed its tests and waits for an administrator to approve it.', name),
            'info'
          ]
        : [trans.__('%1 is built and can be started.', name), 'success'];
  }
}
