/** Filters the quarantine list; the choice is kept in the page's address. */
import type { JSX } from "preact";
import type { ItemList } from "../../admin/operations.ts";
import { Select, type SelectProps } from "../panel.tsx";
import { replace, route } from "../route.ts";
import { visible } from "../record-text.ts";
import { itemClasses, itemTypes, destinationsIn, type QuarantineFilterOf, reasonsIn } from "./selection.ts";
import { classes, itemsOf, reasonText } from "./words.ts";

export interface QuarantineFilterProps {
  readonly filter: QuarantineFilterOf;
  readonly counts: ItemList["counts"];
  /** Names of the further destinations. */
  readonly destinations: readonly string[];
}

export function QuarantineFilter({ filter, counts, destinations }: QuarantineFilterProps): JSX.Element {
  const choose = (change: Readonly<Record<string, string>>): void =>
    replace({ more: { ...route.value.more, ...change } });
  return (
    <search class="choices" aria-label="Filter of quarantine">
      <Criterion
        label="Class"
        chosen={filter.class}
        options={itemClasses.map((name) => [name, `${classes[name].title}${sizeText(itemsOf(counts, name))}`])}
        onChoose={(name) => choose({ class: name, reason: "" })}
      />
      <Criterion
        label="Reason"
        chosen={filter.reason}
        options={reasonsIn(counts, filter.reason).map((name) => [name, reasonText(name)])}
        onChoose={(reason) => choose({ reason })}
      />
      <Criterion
        label="Type"
        chosen={filter.type}
        options={itemTypes.map((name) => [name, name])}
        onChoose={(type) => choose({ type })}
      />
      {(destinations.length > 0 || filter.destination !== undefined) && (
        <Criterion
          label="Destination"
          chosen={filter.destination}
          options={destinationsIn(destinations, filter.destination).map((name) => [name, visible(name)])}
          onChoose={(destination) => choose({ destination })}
        />
      )}
    </search>
  );
}

/** A select with its label and the option `any`. */
function Criterion({ options, ...props }: SelectProps): JSX.Element {
  return (
    <label>
      {props.label} <Select {...props} chosen={props.chosen ?? ""} options={[["", "any"], ...options]} />
    </label>
  );
}

function sizeText(items: number): string {
  return items === 0 ? "" : ` (${items})`;
}
