/** The filters of events: types, severity, actor and free text. All of them stand in the address. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { actorOf } from "../../catalogue/event-words.ts";
import { Choice } from "../panel.tsx";
import { replace, route } from "../route.ts";
import { addressOf, type EventFilter, eventTypes, filterOf, maxText, severities } from "./query.ts";

export interface EventFiltersProps {
  readonly filter: EventFilter;
  /** Their actors are offered. */
  readonly seen: readonly AcceptedEvent[];
}

const typeTitles = { audit: "Audit", webhook: "Webhook", flow: "Flow" } as const;
const severityTitles = { info: "All", warn: "Warnings" } as const;

/** After the last key, so that not every word is searched for while it is typed. */
const typingMs = 400;

const maxOffered = 50;

export function EventFilters({ filter, seen }: EventFiltersProps): JSX.Element {
  const { types, severity, text, actor } = filter;
  const change = (part: Partial<EventFilter>): void => {
    // As the address has it now: what is typed is late, and something else may have been chosen since.
    const { id: _, ...rest } = filterOf(route.peek());
    replace({ more: addressOf({ ...rest, ...part }) });
  };
  const actors = useMemo(() => [...new Set(seen.map(actorOf))].filter(Boolean).slice(0, maxOffered), [seen]);
  const toggle = (type: (typeof eventTypes)[number]): void => {
    const next = eventTypes.filter((one) => (one === type) !== types.includes(one));
    if (next.length > 0) change({ types: next });
  };
  return (
    <search class="event-filters" aria-label="Filter events">
      <TypedText
        label="Search in events"
        value={text}
        placeholder="Search: all words, any case"
        onChange={(next) => change({ text: next })}
      />
      <TypedText
        label="Actor"
        value={actor}
        placeholder="Actor"
        offered={actors}
        onChange={(next) => change({ actor: next })}
      />
      <div class="choice" role="group" aria-label="Types">
        {eventTypes.map((type) => (
          <button key={type} type="button" aria-pressed={types.includes(type)} onClick={() => toggle(type)}>
            {typeTitles[type]}
          </button>
        ))}
      </div>
      <Choice
        label="Severity"
        options={severities}
        chosen={severity}
        onChoose={(next) => change({ severity: next })}
        titleOf={(name) => severityTitles[name]}
      />
    </search>
  );
}

interface TypedTextProps {
  readonly label: string;
  readonly value: string;
  readonly placeholder: string;
  readonly offered?: readonly string[];
  readonly onChange: (text: string) => void;
}

/** A field that takes effect when somebody stops typing, or presses Enter. */
function TypedText({ label, value, placeholder, offered, onChange }: TypedTextProps): JSX.Element {
  const [typed, setTyped] = useState(value);
  const sent = useRef(value);
  const send = (text: string): void => {
    sent.current = text;
    onChange(text);
  };
  useEffect(() => {
    // What was sent from here comes back, and meanwhile somebody may have typed on.
    if (value === sent.current) return;
    sent.current = value;
    setTyped(value);
  }, [value]);
  useEffect(() => {
    if (typed === value) return undefined;
    const timer = setTimeout(() => send(typed), typingMs);
    return () => clearTimeout(timer);
  }, [typed]);
  const list = offered === undefined ? undefined : `offered-${label.toLowerCase()}`;
  return (
    <>
      <input
        type="search"
        aria-label={label}
        placeholder={placeholder}
        maxLength={maxText}
        spellcheck={false}
        autoComplete="off"
        list={list}
        value={typed}
        onInput={({ currentTarget }) => setTyped(currentTarget.value)}
        onKeyDown={({ key }) => key === "Enter" && typed !== value && send(typed)}
      />
      {list !== undefined && (
        <datalist id={list}>
          {offered?.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      )}
    </>
  );
}
