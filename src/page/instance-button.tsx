/** The state of the instance in one word, with the reasons one click away. */
import type { JSX } from "preact";
import { dateTime, inLocalTime, time } from "./format.ts";
import { stateOf } from "./instance-state.ts";
import { connection, overview, streamTrouble } from "./live.ts";
import { hrefOf } from "./route.ts";

export function InstanceStateButton(): JSX.Element {
  const now = overview.value;
  const isLost = connection.value === "closed" && streamTrouble.value === undefined;
  const { kind, word, reasons } = isLost ? stateOf(undefined) : stateOf(now);
  const unknown = isLost
    ? "The instance does not answer"
    : (streamTrouble.value ?? "The instance has not answered yet");
  const summary = now === undefined || isLost ? `${unknown}.` : "Records are accepted and delivered.";
  return (
    <>
      <button type="button" class={`state ${kind}`} popovertarget="state" aria-label={`Instance: ${word}`}>
        <span class="dot" aria-hidden="true" />
        {word}
        {reasons.length > 1 ? ` (${reasons.length})` : ""}
      </button>
      <div id="state" popover="auto" class="popover">
        <h2>{word}</h2>
        {reasons.length === 0 ? (
          <p>{summary}</p>
        ) : (
          <ul>
            {reasons.map((reason) => (
              <li key={reason}>{inLocalTime(reason)}</li>
            ))}
          </ul>
        )}
        {now !== undefined && (
          <p class="note">
            Version {now.version}, started {dateTime(now.startedAt)}
          </p>
        )}
        <p>
          <a href={hrefOf({ view: "delivery" })}>{reasons.length === 0 ? "All details" : "Details, and what to do"}</a>
        </p>
      </div>
    </>
  );
}

const connectionTitles = { open: "Live", connecting: "Connecting", closed: "Not live" } as const;

export function ConnectionState(): JSX.Element {
  const state = connection.value;
  return <span class={`connection ${state}`}>{connectionTitles[state]}</span>;
}

/** Why this page is not live; empty while it is. */
export function ConnectionNotice(): JSX.Element {
  const isClosed = connection.value === "closed";
  const trouble = streamTrouble.value;
  const known = overview.value === undefined ? "" : `. What you see was true at ${time(overview.value.at)}`;
  const text =
    trouble === undefined ? `Connection lost, trying again${known}` : `${trouble}, trying again every few seconds`;
  return (
    <div role="status" class="notices">
      {isClosed && <p class="notice">{linked(text)}</p>}
    </div>
  );
}

/** Turns addresses into links, because an instance that does not lead names the leader's. */
function linked(text: string): readonly (string | JSX.Element)[] {
  return text.split(/(https?:\/\/[^\s,]+)/).map((part, at) =>
    at % 2 === 0 ? (
      part
    ) : (
      <a key={part} href={part}>
        {part}
      </a>
    ),
  );
}
