/** A part of a view: its heading, what can be chosen there, and what to say if there is nothing to show. */
import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";

export interface PanelProps {
  readonly title: string;
  /** Beside the heading. */
  readonly actions?: ComponentChildren;
  /** One sentence below the heading. */
  readonly note?: ComponentChildren;
  /** What went wrong; the old content stays. */
  readonly error?: string | undefined;
  /** Its first content is still on its way. */
  readonly isLoading?: boolean;
  /** For a grid: the panel takes a whole row. */
  readonly width?: "half" | "full";
  readonly children?: ComponentChildren;
}

export function Panel({ title, actions, note, error, isLoading, width = "half", children }: PanelProps): JSX.Element {
  const id = useId();
  return (
    <section class={`panel ${width}`} aria-labelledby={id} aria-busy={isLoading}>
      <div class="panel-head">
        <h2 id={id}>{title}</h2>
        {actions}
      </div>
      {note !== undefined && <p class="note">{note}</p>}
      {error !== undefined && <p class="trouble">{error}. Trying again.</p>}
      {children}
    </section>
  );
}

/** Instead of an empty picture: why there is nothing, and what to do. */
export function Empty({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <p class="empty">{children}</p>;
}

export interface ChoiceProps<Name extends string> {
  readonly label: string;
  readonly options: readonly Name[];
  /** Absent: none of them. */
  readonly chosen: Name | undefined;
  readonly onChoose: (name: Name) => void;
  /** What is shown for an option, if not its name. */
  readonly titleOf?: (name: Name) => string;
}

export interface SelectProps {
  /** For those who cannot see what is around it. */
  readonly label: string;
  readonly options: readonly (readonly [value: string, title: string])[];
  readonly chosen: string | undefined;
  readonly onChoose: (value: string) => void;
}

/** One of many. */
export function Select({ label, options, chosen, onChoose }: SelectProps): JSX.Element {
  return (
    <select aria-label={label} value={chosen} onChange={({ currentTarget }) => onChoose(currentTarget.value)}>
      {options.map(([value, title]) => (
        <option key={value} value={value}>
          {title}
        </option>
      ))}
    </select>
  );
}

/** One of a few. */
export function Choice<Name extends string>(props: ChoiceProps<Name>): JSX.Element {
  const { label, options, chosen, onChoose, titleOf = (name) => name } = props;
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map((name) => (
        <button key={name} type="button" aria-pressed={name === chosen} onClick={() => onChoose(name)}>
          {titleOf(name)}
        </button>
      ))}
    </div>
  );
}
