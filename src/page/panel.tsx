/** A panel of a view: its heading, its controls, and a message if there is nothing to show. */
import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";

export interface PanelProps {
  readonly title: string;
  /** Controls beside the heading. */
  readonly actions?: ComponentChildren;
  /** One sentence below the heading. */
  readonly note?: ComponentChildren;
  /** What went wrong; the old content stays. */
  readonly error?: string | undefined;
  /** True while the first content is loading. */
  readonly isLoading?: boolean;
  /** In a grid, `full` takes a whole row. */
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

/** Shown instead of an empty chart or table: why there is nothing, and what to do. */
export function Empty({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <p class="empty">{children}</p>;
}

export interface ChoiceProps<Name extends string> {
  readonly label: string;
  readonly options: readonly Name[];
  /** Absent if none is chosen. */
  readonly chosen: Name | undefined;
  readonly onChoose: (name: Name) => void;
  /** The title of an option, if it is not its name. */
  readonly titleOf?: (name: Name) => string;
}

export interface SelectProps {
  /** Label for screen readers. */
  readonly label: string;
  readonly options: readonly (readonly [value: string, title: string])[];
  readonly chosen: string | undefined;
  readonly onChoose: (value: string) => void;
}

/** A choice among many options. */
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

/** A choice among a few options. */
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
