/** The filters of events: types, severity, actor and free text, all kept in the page's address. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { actorOf } from "../../catalogue/event-words.ts";
import { Choice } from "../panel.tsx";
import { replace, route } from "../route.ts";
import { addressOf, type EventFilter, eventTypes, filterOf, maxText, severities } from "./query.ts";

export interface EventFiltersProps {
  readonly filter: EventFilter;
  /** Source of the actors that are suggested. */
  readonly seen: readonly AcceptedEvent[];
}

const typeTitles = { audit: "Audit", webhook: "Webhook", flow: "Flow" } as const;
const severityTitles = { info: "All", warn: "Warnings" } as const;

/** Waits after the last key, so that partly typed words are not searched for. */
const typingMs = 400;

const maxOffered = 50;

export function EventFilters({ filter, seen }: EventFiltersProps): JSX.Element {
  const { types, severity, text, actor } = filter;
  const change = (part: Partial<EventFilter>): void => {
    // Reads the current address, because typed text arrives late and another filter may have changed since.
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

/** A field that takes effect when typing pauses or Enter is pressed. */
function TypedText({ label, value, placeholder, offered, onChange }: TypedTextProps): JSX.Element {
  const [typed, setTyped] = useState(value);
  const sent = useRef(value);
  const send = (text: string): void => {
    sent.current = text;
    onChange(text);
  };
  useEffect(() => {
    // The value sent from here comes back, and the user may have typed on meanwhile.
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
