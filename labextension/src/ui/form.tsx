import { Dialog } from '@jupyterlab/apputils';
import { UUID } from '@lumino/coreutils';
import { useEffect, useId, useRef, useState, type ReactElement, type ReactNode } from 'react';

import { asProblem, type IProblem } from '../api/requests';
import type { IPerijove } from '../tokens';
import { Failure } from './states';
import { PerijoveWidget } from './widget';

/** What a form's fields get. */
export interface IFieldsProps<V> {
  value: V;
  onChange: (change: Partial<V>) => void;
  /** Why the last try was refused; a field shows it when it is named. */
  problem?: IProblem;
}

interface IFormOptions<V, R> {
  title: string;
  /** The primary button's words. */
  accept: string;
  initial: V;
  Fields: (props: IFieldsProps<V>) => ReactElement;
  /** Fields that can show a problem of their own, besides those below them. */
  names: string[];
  /**
   * Carry it out; what it throws is shown and the form stays open.
   *
   * `key` stays the same for the same value, so that a second try is harmless.
   */
  submit: (value: V, key: string) => Promise<R>;
  /** Whether it has much to show. */
  wide?: boolean;
}

/** What ties an input to its label, its help and its problem. */
export interface IFieldAttributes {
  id: string;
  'aria-describedby': string;
  'aria-invalid': boolean;
}

/**
 * Tell whether a problem is a field's own.
 *
 * @param name - The field, as the API calls it, such as `schedule.cron`.
 */
export function isAt(problem: IProblem | undefined, name: string): problem is IProblem {
  const field = problem?.field;
  return !!field && (field === name || field.startsWith(`${name}.`));
}

/** A label, an input, its help, and what is wrong with it. */
export function Field(props: {
  name: string;
  label: string;
  help?: ReactNode;
  problem?: IProblem;
  /** Whether it takes a whole line where fields stand side by side. */
  wide?: boolean;
  children: (attributes: IFieldAttributes) => ReactElement;
}): ReactElement {
  const id = useId();
  const wrong = isAt(props.problem, props.name) ? props.problem : undefined;
  return (
    <div
      className={`pj-Field ${wrong ? 'pj-mod-wrong' : ''} ${props.wide ? 'pj-mod-wide' : ''}`}
      data-field={props.name}
    >
      <label htmlFor={id}>{props.label}</label>
      {props.children({ id, 'aria-describedby': `${id}-help`, 'aria-invalid': !!wrong })}
      {(wrong ?? props.help) && (
        <div id={`${id}-help`} className="pj-Field-help">
          {wrong ? (
            <span role="alert" className="pj-Field-problem">
              {[wrong.detail ?? wrong.title, wrong.fix].filter(Boolean).join(' ')}
            </span>
          ) : (
            props.help
          )}
        </div>
      )}
    </div>
  );
}

/** Brings what is wrong into view: a long form may show another part of itself. */
function Finder({ problem }: { problem?: IProblem }): ReactElement {
  const place = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const form = problem && place.current?.parentElement;
    const wrong = form?.querySelector<HTMLElement>('[aria-invalid="true"]');
    if (wrong) {
      wrong.focus();
    } else {
      form?.querySelector('[role="alert"]')?.scrollIntoView({ block: 'nearest' });
    }
  }, [problem]);
  return <span ref={place} hidden />;
}

/**
 * Fields with their value in React's own state: were it shown a moment later, React would put
 * the old one back in between, and an input of dates would report that as another change.
 */
function Held<V>({
  initial,
  problem,
  Fields,
  onChange
}: {
  initial: V;
  problem?: IProblem;
  Fields: (props: IFieldsProps<V>) => ReactElement;
  onChange: (value: V) => void;
}): ReactElement {
  const [value, setValue] = useState(initial);
  const latest = useRef(initial);
  return (
    <Fields
      value={value}
      problem={problem}
      onChange={change => {
        latest.current = { ...latest.current, ...change };
        setValue(latest.current);
        onChange(latest.current);
      }}
    />
  );
}

/** A form's fields, its problem, and whether it is on its way. */
class FormBody<V, R> extends PerijoveWidget {
  constructor(
    perijove: IPerijove,
    private readonly _options: IFormOptions<V, R>
  ) {
    super(perijove);
    this._value = _options.initial;
    this.addClass('pj-Form');
  }

  /** Try to carry it out; null means that the form shows why not. */
  async submit(): Promise<R | null> {
    if (this._busy) {
      return null;
    }
    this._busy = true;
    this._problem = undefined;
    this.update();
    try {
      return await this._options.submit(this._value, this._key);
    } catch (error) {
      this._problem = asProblem(error);
      return null;
    } finally {
      this._busy = false;
      this.update();
    }
  }

  protected content(): ReactElement {
    const { Fields, names } = this._options;
    const problem = this._problem;
    const placed = names.some(name => isAt(problem, name));
    return (
      <fieldset disabled={this._busy} aria-busy={this._busy}>
        {problem && !placed && <Failure problem={problem} />}
        <Finder problem={problem} />
        <Held
          initial={this._value}
          problem={problem}
          Fields={Fields}
          onChange={value => {
            this._value = value;
            this._key = UUID.uuid4();
          }}
        />
      </fieldset>
    );
  }

  private _value: V;
  private _problem?: IProblem;
  private _key = UUID.uuid4();
  private _busy = false;
}

/** Leaves the form's inputs to React: JupyterLab's renderer would wrap them. */
class PlainRenderer extends Dialog.Renderer {
  override createBody(body: Dialog.Body<unknown>): FormBody<unknown, unknown> {
    const widget = body as FormBody<unknown, unknown>;
    widget.addClass('jp-Dialog-body');
    return widget;
  }
}

/** A dialog that closes only once its form was accepted. */
class FormDialog<V, R> extends Dialog<V> {
  constructor(perijove: IPerijove, options: IFormOptions<V, R>) {
    const body = new FormBody(perijove, options);
    const { trans } = perijove;
    super({
      title: options.title,
      body,
      renderer: new PlainRenderer(),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: options.accept })
      ],
      focusNodeSelector: 'input, select, textarea',
      hasClose: true
    });
    this._form = body;
    this.addClass('pj-Dialog');
    this.toggleClass('pj-mod-wide', !!options.wide);
  }

  override handleEvent(event: Event): void {
    const target = event.target instanceof Element ? event.target : null;
    if (event.type === 'click' && !target?.closest('.jp-Dialog-content')) {
      // What was typed must not be lost to a click beside the form.
      event.stopPropagation();
      event.preventDefault();
      return;
    }
    if (
      event.type === 'keydown' &&
      (event as KeyboardEvent).key === 'Enter' &&
      target?.closest('[data-own-enter]')
    ) {
      return;
    }
    super.handleEvent(event);
  }

  /** What was made, once the dialog is closed by success. */
  result: R | null = null;

  override resolve(index = 1): void {
    if (index === 0) {
      super.resolve(index);
      return;
    }
    void this._form.submit().then(result => {
      if (result !== null) {
        this.result = result;
        super.resolve(index);
      }
    });
  }

  private readonly _form: FormBody<V, R>;
}

/**
 * Ask for a form to be filled in.
 *
 * @returns What `submit` made, or null when the person changed their mind.
 */
export async function showForm<V, R>(
  perijove: IPerijove,
  options: IFormOptions<V, R>
): Promise<R | null> {
  const dialog = new FormDialog(perijove, options);
  await dialog.launch();
  return dialog.result;
}
