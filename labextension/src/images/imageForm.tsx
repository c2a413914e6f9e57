import { useRef, type ReactElement } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { Build, Image, ImageSpec, Principal } from '../api/types';
import { whoami } from '../jobs/requests';
import type { IPerijove } from '../tokens';
import { usePerijove } from '../ui/context';
import { tellFailure } from '../ui/failure';
import { Field, showForm, type IFieldsProps } from '../ui/form';
import { SharingField, type ISharing } from '../ui/sharing';
import { build, listStartable } from './requests';
import type { IFilling, ISpecSource } from './sources';

/** Where the fields were filled in from, and what came of it. */
interface IFilledIn {
  /** The source's place in the list; empty for none. */
  from: string;
  leftOut: string[];
  problem?: IProblem;
  busy: boolean;
}

interface IDraft {
  name: string;
  description: string;
  base: string;
  /** Debian packages, apart by spaces or lines. */
  apt: string;
  /** The text of a requirements file. */
  requirements: string;
  conda: string[];
  filledIn: IFilledIn;
  sharing: ISharing;
  approve: boolean;
}

/**
 * Ask what an image is made of, build it, and open the build.
 *
 * @param previous - The image to make a new version of, from what its newest is made of.
 */
export async function buildImage(perijove: IPerijove, previous?: Image): Promise<void> {
  const { actions, api, trans } = perijove;
  try {
    const [caller, bases, sources] = await Promise.all([
      whoami(api),
      listStartable(api),
      previous ? [] : actions.specSources()
    ]);
    const spec = previous?.latest.spec;
    const started = await showForm<IDraft, Build>(perijove, {
      title: previous ? trans.__('New version of %1', previous.name) : trans.__('New image'),
      accept: trans.__('Build'),
      names: [
        ...(previous ? [] : ['spec.name']),
        'spec.description',
        'spec.base',
        'spec.apt',
        'spec.requirements',
        'visibility',
        'group'
      ],
      initial: {
        name: previous?.name ?? '',
        description: previous?.description ?? '',
        base: baseFrom(bases, spec?.base),
        apt: spec?.apt.join(' ') ?? '',
        requirements: textOf(spec),
        conda: spec?.conda ?? [],
        filledIn: { from: '', leftOut: [], busy: false },
        sharing: { visibility: null, group: null },
        approve: false
      },
      Fields: fields => (
        <ImageFields
          {...fields}
          isNew={!previous}
          bases={bases}
          sources={sources}
          caller={caller}
        />
      ),
      submit: ({ name, description, base, apt, requirements, conda, sharing, approve }, key) =>
        build(
          api,
          {
            approve,
            spec: {
              ...sharing,
              name: name.trim(),
              description,
              base,
              apt: apt.split(/[\s,]+/).filter(Boolean),
              pip: [],
              requirements,
              conda
            }
          },
          key
        )
    });
    if (started) {
      actions.open({ kind: 'build', id: started.id, title: buildTitle(started, trans) });
    }
  } catch (error) {
    tellFailure(error);
  }
}

/** The label of a build's tab. */
export function buildTitle(
  { image, version }: Pick<Build, 'image' | 'version'>,
  trans: IPerijove['trans']
): string {
  return trans.__('%1@%2 · build', image, version);
}

/** The base to start with: the one before, else the usual one, else the first. */
function baseFrom(bases: Image[], before?: string): string {
  const names = bases.map(({ name }) => name);
  const wanted = [before?.split('@')[0], 'cpu', names[0]];
  return wanted.find(name => name && names.includes(name)) ?? '';
}

/** Everything pip installs, a requirement a line. */
function textOf(spec?: ImageSpec | null): string {
  return [...(spec?.pip ?? []), spec?.requirements ?? ''].filter(Boolean).join('\n');
}

function ImageFields({
  value,
  onChange,
  problem,
  isNew,
  bases,
  sources,
  caller
}: IFieldsProps<IDraft> & {
  isNew: boolean;
  bases: Image[];
  sources: ISpecSource[];
  caller: Principal;
}): ReactElement {
  const { trans } = usePerijove();
  const base = bases.find(({ name }) => name === value.base.split('@')[0]);
  return (
    <>
      {isNew && (
        <Field
          name="spec.name"
          label={trans.__('Name')}
          help={trans.__('Lower-case letters, digits, dots and hyphens, such as churn-models.')}
          problem={problem}
        >
          {attributes => (
            <input
              {...attributes}
              className="pj-Input"
              spellCheck={false}
              autoComplete="off"
              value={value.name}
              onChange={({ target }) => onChange({ name: target.value })}
            />
          )}
        </Field>
      )}
      {sources.length > 0 && <SourceField value={value} onChange={onChange} sources={sources} />}
      <Field
        name="spec.description"
        label={trans.__('Description')}
        help={trans.__('What it is for: people read it where they choose an image.')}
        problem={problem}
      >
        {attributes => (
          <input
            {...attributes}
            className="pj-Input"
            value={value.description}
            onChange={({ target }) => onChange({ description: target.value })}
          />
        )}
      </Field>
      <Field
        name="spec.base"
        label={trans.__('Base')}
        help={
          base
            ? base.description || trans.__('What yours starts from.')
            : trans.__('No image is approved that yours could start from. Ask an administrator.')
        }
        problem={problem}
      >
        {attributes => (
          <select
            {...attributes}
            className="pj-Input"
            value={value.base}
            onChange={({ target }) => onChange({ base: target.value })}
          >
            {bases.map(({ id, name, current }) => (
              <option key={id} value={name}>
                {trans.__('%1, version %2', name, current ?? '')}
              </option>
            ))}
            {value.base.includes('@') && (
              <option value={value.base}>
                {trans.__('%1, version %2, no other', ...value.base.split('@'))}
              </option>
            )}
          </select>
        )}
      </Field>
      <Field
        name="spec.requirements"
        label={trans.__('Python packages')}
        help={trans.__(
          'One a line, as in requirements.txt. What you have installed yourself, %freeze captures in a notebook.'
        )}
        problem={problem}
      >
        {attributes => (
          <textarea
            {...attributes}
            className="pj-Input pj-mod-code"
            rows={5}
            spellCheck={false}
            placeholder={'polars>=1.9\nhttpx'}
            value={value.requirements}
            onChange={({ target }) => onChange({ requirements: target.value })}
          />
        )}
      </Field>
      <Field
        name="spec.apt"
        label={trans.__('Debian packages')}
        help={trans.__('With spaces between them; leave it empty if you need none.')}
        problem={problem}
      >
        {attributes => (
          <input
            {...attributes}
            className="pj-Input pj-mod-code"
            spellCheck={false}
            autoComplete="off"
            placeholder="graphviz"
            value={value.apt}
            onChange={({ target }) => onChange({ apt: target.value })}
          />
        )}
      </Field>
      <SharingField
        value={value.sharing}
        groups={caller.groups}
        problem={problem}
        onChange={sharing => onChange({ sharing })}
      />
      {caller.admin && (
        <label className="pj-Check">
          <input
            type="checkbox"
            checked={value.approve}
            onChange={({ target }) => onChange({ approve: target.checked })}
          />
          {trans.__('Approve it when its tests pass')}
        </label>
      )}
    </>
  );
}

/** Fills the other fields in from a specification, or from what a notebook runs in. */
function SourceField({
  value: { name, filledIn },
  onChange,
  sources
}: Pick<IFieldsProps<IDraft>, 'value' | 'onChange'> & { sources: ISpecSource[] }): ReactElement {
  const { trans } = usePerijove();
  const asked = useRef(0);
  const { busy, from, leftOut, problem } = filledIn;
  const choose = (chosen: string): void => {
    const turn = ++asked.current;
    const told = (change: Partial<IDraft>): void => {
      if (turn === asked.current) {
        onChange(change);
      }
    };
    const source = chosen ? sources[Number(chosen)] : undefined;
    onChange({ filledIn: { from: chosen, leftOut: [], busy: !!source } });
    source?.read().then(
      filling => told(filledBy(filling, { name, from: chosen })),
      (error: unknown) => {
        const problem = { ...asProblem(error), field: FILL };
        told({ filledIn: { from: chosen, leftOut: [], busy: false, problem } });
      }
    );
  };
  const help = busy
    ? trans.__('Reading…')
    : leftOut.length > 0
      ? trans.__('No build could install, so it is not in it: %1', leftOut.join('; '))
      : trans.__('What a notebook runs in, or a file that %freeze has written beside it.');
  return (
    <Field name={FILL} label={trans.__('Fill in from')} help={help} problem={problem}>
      {attributes => (
        <select
          {...attributes}
          className="pj-Input"
          value={from}
          onChange={({ target }) => choose(target.value)}
        >
          <option value="">{trans.__('Nothing: I write it here')}</option>
          {sources.map(({ label }, place) => (
            <option key={place} value={place}>
              {label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** The form's own name of the field, which the API does not know. */
const FILL = 'fill';

function filledBy(
  { spec, leftOut }: IFilling,
  { name, from }: { name: string; from: string }
): Partial<IDraft> {
  return {
    name: name || spec.name,
    description: spec.description,
    // With its version: what is installed was compared with just that.
    base: spec.base,
    apt: spec.apt.join(' '),
    requirements: textOf(spec),
    conda: spec.conda,
    sharing: { visibility: spec.visibility ?? null, group: spec.group ?? null },
    filledIn: { from, leftOut, busy: false }
  };
}
