import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { core } from './plugins/core';
import { images } from './plugins/images';
import { panel } from './plugins/panel';
import { promote } from './plugins/promote';
import { shares } from './plugins/shares';
import { workspace } from './plugins/workspace';

export * from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [core, images, panel, promote, shares, workspace];
export default plugins;
