/** The `tail` command: prints events of a running instance as it accepts them. */
import { setTimeout as wait } from "node:timers/promises";
import { maxEvents, maxTextCharacters } from "../admin/events/index.ts";
import type { AcceptedEvent, EventPage, EventQuery, Gap } from "../admin/events/index.ts";
import { type Severity, severityNumbers } from "../catalogue/log-event.ts";
import { messageOf } from "../lib/system-error.ts";
import { cutColumns, printable } from "../lib/text.ts";
import { recordTypes, type RecordType } from "../records/types.ts";
import { onSignal } from "../runtime/process.ts";
import { diffOf, eventText } from "../screen/event-text.ts";
import { type AdminClient, NoAnswer } from "./admin-client.ts";
import { type Command, command, programName } from "./command.ts";
import { instantOf, list, option, UsageError, wholeNumberOf } from "./flags.ts";
import { createConnection, instanceFlags } from "./instance.ts";
import { counted, jsonLine, type Output, paint } from "./terminal.ts";

export const tailCommand: Command = command({
  name: "tail",
  description: "Follow the accepted events of a running instance",
  args: {
    ...instanceFlags,
    type: list("type", "Only flow, audit or webhook; several with commas. Can be repeated.", recordTypes),
    node: list(
      "name",
      "Only events with this node at either end, by name or address, ignoring case; * and ? are wildcards. Can be repeated.",
    ),
    severity: option("info|warn", "Only events of at least this severity."),
    text: option(
      "words",
      "Only events with all these words in their name, body or attributes, ignoring case; the instance searches.",
    ),
    grep: option("text", "Only events that contain this text, ignoring case; between slashes, a regular expression."),
    since: option("when", "Begin with what was received then: 10m (that long ago), or an RFC 3339 time."),
    lines: { ...option("N", "Begin with the last N events that match. (Default: 10)"), alias: "n" },
  },
  examples: [
    ["tailscale2otel tail", "the last 10 events, and all that follow; Ctrl-C ends it"],
    ["tailscale2otel tail --type audit,webhook --since 8h", "the changes of a night"],
    ["tailscale2otel tail --node fileserver --grep '/:(22|3389) /'", "who connects to a machine by SSH or RDP"],
    ["tailscale2otel tail --json --lines 0 | jq -r .attributes", "for scripts: one JSON object per line"],
  ],
  notes:
    "Times are those of the events, in UTC. Settings of privacy apply. If the instance restarts, tail waits and continues where it was. With --json, each line is an event as in docs/api.md.",
  async run({ args, sources, host }) {
    const query = queryOf(args);
    const matches = grepOf(args.grep);
    const isJson = args.json === true;
    const note = (text: string): Promise<void> => host.err.write(`${programName}: ${printable(text)}\n`);
    const stop = new AbortController();
    const connect = createConnection({ args, sources, host, stop: stop.signal });
    const releases = (["SIGINT", "SIGTERM"] as const).map((name) => onSignal(name, () => stop.abort()));
    try {
      await follow({ connect, query, stop: stop.signal, note }, async (events) => {
        const lines = events
          .map((event) => ({ event, text: eventText(event) }))
          .filter(({ event, text }) => matches(event, text))
          .map(({ event, text }) => (isJson ? jsonLine(event) : lineOf(event, text, host.out)));
        if (lines.length > 0) await host.out.write(lines.map((line) => `${line}\n`).join(""));
      });
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      for (const release of releases) release();
    }
    return 0;
  },
});

type Flags = Readonly<Partial<Record<"type" | "node" | "severity" | "text" | "since" | "lines", string | undefined>>>;

const pageEvents = 1000;
const pageWaitMs = 20_000;

function queryOf({ type, node, severity, text, since, lines }: Flags): EventQuery {
  const types = wordsOf(type);
  const unknown = types.find((word) => !(recordTypes as readonly string[]).includes(word));
  if (unknown !== undefined)
    throw new UsageError(`--type must be one of ${recordTypes.join(", ")}, not ${JSON.stringify(unknown)}`);
  if (since !== undefined && lines !== undefined) throw new UsageError("--since and --lines cannot be combined");
  if (text !== undefined && text.length > maxTextCharacters)
    throw new UsageError(`--text can have at most ${maxTextCharacters} characters`);
  const last = wholeNumberOf(lines ?? "10", "--lines", [0, maxEvents]);
  return {
    types: types as RecordType[],
    nodes: wordsOf(node),
    ...(severity === undefined ? {} : { severity: severityOf(severity) }),
    ...(text === undefined ? {} : { text }),
    limit: pageEvents,
    waitMs: pageWaitMs,
    ...(since !== undefined ? { since: instantOf(since, Date.now(), "--since") } : last > 0 ? { last } : {}),
  };
}

function severityOf(given: string): Severity {
  const words = Object.keys(severityNumbers) as Severity[];
  const found = words.find((word) => word === given.toUpperCase());
  if (found !== undefined) return found;
  throw new UsageError(`--severity must be ${words.join(" or ").toLowerCase()}, not ${JSON.stringify(given)}`);
}

function wordsOf(given = ""): readonly string[] {
  const words = given.split(",").map((word) => word.trim());
  return words.filter((word) => word !== "");
}

/** Searches the line and everything in the event. It runs in this process, so that it cannot block the instance. */
function grepOf(wanted: string | undefined): (event: AcceptedEvent, text: string) => boolean {
  if (wanted === undefined) return () => true;
  const pattern = /^\/(.*)\/(i?)$/s.exec(wanted);
  let contains: (text: string) => boolean;
  if (pattern === null) {
    const lower = wanted.toLowerCase();
    contains = (text) => text.toLowerCase().includes(lower);
  } else {
    try {
      const expression = new RegExp(pattern[1] ?? "", pattern[2]);
      contains = (text) => expression.test(text);
    } catch (error) {
      throw new UsageError(`--grep is not a valid regular expression: ${messageOf(error)}`);
    }
  }
  return ({ body, attributes }, text) =>
    [text, body, ...Object.values(attributes).flat()].some((value) => contains(String(value)));
}

interface Following {
  readonly connect: () => Promise<AdminClient>;
  readonly query: EventQuery;
  readonly stop: AbortSignal;
  /** Prints a remark for the user, apart from the events. */
  readonly note: (text: string) => Promise<void>;
}

const retryMs = { first: 250, longest: 5000 };

/** Resolves when `stop` aborts. A page is printed completely before the next request, so nothing is repeated. */
async function follow(following: Following, show: (events: readonly AcceptedEvent[]) => Promise<void>): Promise<void> {
  const { connect, stop, note } = following;
  let { query } = following;
  let instance = await connect();
  const remarks = createRemarks(query);
  let failures = 0;
  while (!stop.aborted) {
    let page: EventPage;
    try {
      if (failures > 0) instance = await connect();
      page = await instance.events(query);
    } catch (error) {
      if (stop.aborted) return;
      if (!(error instanceof NoAnswer)) throw error;
      if (failures++ === 0) await note(`${error.message.replace(/\. Check it with.*/s, "")}; waiting for it`);
      await wait(Math.min(retryMs.longest, retryMs.first * 2 ** Math.min(failures, 10)), undefined, {
        signal: stop,
      }).catch(() => undefined);
      continue;
    }
    if (failures > 0) await note(`the instance answers again at ${instance.address}`);
    failures = 0;
    for (const remark of remarks(page)) await note(remark);
    await show(page.events);
    const { since: _, last: __, ...rest } = query;
    query = { ...rest, from: page.next };
  }
}

/** How far behind to warn, and how often to repeat the warning. */
const behindSeconds = 10;
const remindMs = 60_000;

/** Remarks about a page: what is missing before it, and whether it is late. */
function createRemarks({ since }: EventQuery): (page: EventPage) => readonly string[] {
  let hasCaughtUp = false;
  let toldAt: number | undefined;
  let isFirst = true;
  return ({ gap, oldest, isEnd, behindSeconds: behind }) => {
    const remarks = gap === undefined ? [] : [gapText(gap)];
    if (isFirst && since !== undefined && oldest !== undefined && Date.parse(oldest) > since)
      remarks.push(`the journal goes back to ${oldest}, not further`);
    isFirst = false;
    hasCaughtUp ||= isEnd;
    if (isEnd) {
      if (toldAt !== undefined) remarks.push("up to date again");
      toldAt = undefined;
    } else if (hasCaughtUp && behind >= behindSeconds && Date.now() - (toldAt ?? 0) >= remindMs) {
      toldAt = Date.now();
      remarks.push(
        `${counted(behind, "second")} behind: more is accepted than can be shown; show less with --type or --node`,
      );
    }
    return remarks;
  };
}

function gapText({ reason, rows }: Gap): string {
  switch (reason) {
    case "deleted":
      return `gap: ${counted(rows, "row")} of the journal had been deleted before they were shown (state.retention, state.max_bytes or quarantine purge)`;
    case "damaged":
      return `gap: ${counted(rows, "row")} of the journal cannot be read`;
    default:
      return "gap: the instance has another journal now; what was not shown of the one before cannot be shown";
  }
}

const colors: Readonly<Record<RecordType, number>> = { flow: 36, audit: 35, webhook: 34 };
const warning = 33;
const lineColumns = 1000;

function lineOf(event: AcceptedEvent, text: string, out: Pick<Output, "hasColor">): string {
  const time = event.time.replace(/\.\d+/, "");
  const type = paint(colors[event.type], event.type.padEnd(7), out);
  const line = cutColumns(text, lineColumns);
  const diff = diffOf(event).map((changed) => {
    const color = changed.startsWith("+") ? 32 : changed.startsWith("-") ? 31 : undefined;
    return `\n  ${color === undefined ? changed : paint(color, changed, out)}`;
  });
  return `${time} ${type} ${event.severity === "WARN" ? paint(warning, line, out) : line}${diff.join("")}`;
}
