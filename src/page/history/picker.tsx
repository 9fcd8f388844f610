/** Chooses the range of time: a length up to now, two times, or a step to the left or right. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { serverNow } from "../live.ts";
import { Choice } from "../panel.tsx";
import { go } from "../route.ts";
import { addressOf, inputOf, moved, type Span, spans, type TimeSpan, timeOfInput } from "./span.ts";

export interface RangePickerProps {
  /** Absent while the extent of the history is unknown. */
  readonly span: TimeSpan | undefined;
  /** The length up to now, if the range is not fixed. */
  readonly chosen: Span | undefined;
}

const spanTitles: Readonly<Record<Span, string>> = { "1h": "1 hour", "6h": "6 hours", "24h": "24 hours", all: "All" };

export function RangePicker({ span, chosen }: RangePickerProps): JSX.Element {
  const show = (next: TimeSpan): void => go({ more: addressOf(next, serverNow()) });
  const step = (how: "earlier" | "later" | "wider"): void => {
    if (span !== undefined) show(moved(span, how, serverNow()));
  };
  const isAll = chosen === "all";
  return (
    <div class="range-picker">
      <Choice
        label="Range up to now"
        options={spans}
        chosen={chosen}
        onChoose={(name) => go({ more: name === "all" ? {} : { span: name } })}
        titleOf={(name) => spanTitles[name]}
      />
      <div class="choice" role="group" aria-label="Move the range">
        <button type="button" aria-label="Earlier" title="Earlier" disabled={isAll} onClick={() => step("earlier")}>
          ←
        </button>
        <button
          type="button"
          aria-label="Later"
          title="Later"
          disabled={chosen !== undefined}
          onClick={() => step("later")}
        >
          →
        </button>
        <button type="button" title="A range twice as long" disabled={isAll} onClick={() => step("wider")}>
          Zoom out
        </button>
      </div>
      <CustomRange span={span} of={chosen ?? `${span?.since} ${span?.until}`} onChoose={show} />
    </div>
  );
}

interface CustomRangeProps {
  readonly span: TimeSpan | undefined;
  /** Identifies the choice; a new one replaces what the user has typed. */
  readonly of: string;
  readonly onChoose: (span: TimeSpan) => void;
}

/** Fields for both times, which follow the shown range until the user types. */
function CustomRange({ span, of, onChoose }: CustomRangeProps): JSX.Element {
  const [typed, setTyped] = useState<{ readonly from?: string; readonly to?: string }>({});
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    setTyped({});
    setTrouble("");
  }, [of]);
  const { from, to } = { from: inputOf(span?.since), to: inputOf(span?.until), ...typed };
  const apply = (): void => {
    const [since, until] = [timeOfInput(from), timeOfInput(to)];
    if (since === undefined || until === undefined) setTrouble("Enter both times.");
    else if (until <= since) setTrouble("The end must be after the beginning.");
    else if (since >= serverNow()) setTrouble("The beginning must be in the past.");
    else {
      setTrouble("");
      onChoose({ since, until });
    }
  };
  return (
    <form
      class="custom-range"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        apply();
      }}
    >
      <label>
        From{" "}
        <input
          type="datetime-local"
          value={from}
          onInput={({ currentTarget }) => setTyped({ ...typed, from: currentTarget.value })}
        />
      </label>
      <label>
        to{" "}
        <input
          type="datetime-local"
          value={to}
          onInput={({ currentTarget }) => setTyped({ ...typed, to: currentTarget.value })}
        />
      </label>
      <button type="submit">Show</button>
      <span class="trouble" role="alert">
        {trouble}
      </span>
    </form>
  );
}
