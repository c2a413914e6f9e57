import { LabIcon } from '@jupyterlab/ui-components';

import perijoveSvg from '../style/icons/perijove.svg';
import sourceSvg from '../style/icons/source.svg';

/** A planet and the arc of a spacecraft at its closest approach. */
export const perijoveIcon = new LabIcon({ name: 'perijove:perijove', svgstr: perijoveSvg });

/** A database or a folder of files. */
export const sourceIcon = new LabIcon({ name: 'perijove:source', svgstr: sourceSvg });
