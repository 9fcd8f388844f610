/** Live data from the instance, over one stream for the whole page that reconnects by itself after any failure. */
import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import type { AcceptedEvent } from "../admin/events/index.ts";
import type { Overview } from "../admin/overview.ts";
import type { RecentTraffic, Traffic, TrafficSample } from "../admin/traffic/index.ts";
import { ApiError, get, getTailnets, session } from "./api.ts";
import { addSample, noSamples, type Samples, samplesOf } from "./samples.ts";
import { ofTailnet, tailnets } from "./tailnet.ts";

/** `closed`: lost or refused, and retried. */
export type Connection = "open" | "connecting" | "closed";

const state = {
  overview: signal<Overview | undefined>(undefined),
  samples: signal<{ readonly columns: Samples }>({ columns: noSamples() }),
  events: signal<readonly AcceptedEvent[] | undefined>(undefined),
  connection: signal<Connection>("connecting"),
  trouble: signal<string | undefined>(undefined),
  reconnections: signal(0),
  firstVersion: signal<string | undefined>(undefined),
};

export const overview: ReadonlySignal<Overview | undefined> = state.overview;
/** Rates per second over the last hour, by kind. Each sample extends the arrays in place and replaces only the outer object. */
export const samples: ReadonlySignal<{ readonly columns: Samples }> = state.samples;
/** The latest audit and webhook events, newest first; undefined until they have been read. */
export const recentEvents: ReadonlySignal<readonly AcceptedEvent[] | undefined> = state.events;
export const connection: ReadonlySignal<Connection> = state.connection;
/** Why there is no stream although the instance answers; undefined if it does not answer at all. */
export const streamTrouble: ReadonlySignal<string | undefined> = state.trouble;
/** How often the stream has opened; data fetched before the last time may be out of date. */
export const reconnections: ReadonlySignal<number> = state.reconnections;
/** The running version, if this page belongs to a different one. */
export const newVersion: ReadonlySignal<string | undefined> = computed(() => {
  const version = state.overview.value?.version;
  return version === state.firstVersion.value ? undefined : version;
});

const visibility = signal(document.visibilityState === "visible");
document.addEventListener("visibilitychange", () => {
  visibility.value = document.visibilityState === "visible";
});

/** True while the page is visible; otherwise nothing is fetched or drawn. */
export const isVisible: ReadonlySignal<boolean> = visibility;

/** Events kept for the list of latest events. */
const keptEvents = 50;

/** The stream is closed after the page has been hidden for this long. */
const hiddenMs = 60_000;

/** The instance sends a message every second. After this long without one, the connection is considered dead, as after sleep. */
const silenceMs = 15_000;

/** If a stream lasted at least this long, the next one is opened at once. */
const steadyMs = 10_000;

const firstRetryMs = 500;
const lastRetryMs = 8000;

let source: EventSource | undefined;
let retryMs = firstRetryMs;
/** From `performance.now`: when the stream opened, and when its last message arrived. */
let openedAt = Number.POSITIVE_INFINITY;
let heardAt = 0;
let retry: ReturnType<typeof setTimeout> | undefined;
/** The clock of the instance minus that of the browser, in milliseconds. */
let clockDifference = 0;

/** Epoch milliseconds by the clock of the instance, like all its timestamps. */
export function serverNow(): number {
  return Date.now() + clockDifference;
}

/** Opens the stream as soon as the session allows it, and keeps it open while the page is visible. Called once. */
export function startLive(): void {
  let hiding: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const isWanted = session.value !== "signed_out";
    clearTimeout(hiding);
    if (!isWanted) forget();
    else if (!isVisible.value) hiding = setTimeout(rest, hiddenMs);
    else if (source === undefined) connect();
  });
  addEventListener("online", () => {
    if (isVisible.peek()) connect();
  });
  addEventListener("pagehide", disconnect);
  // The back button restores the page as it was left.
  addEventListener("pageshow", () => {
    if (source === undefined && isVisible.peek()) connect();
  });
  setInterval(() => {
    if (source !== undefined && isVisible.peek() && performance.now() - heardAt > silenceMs) void lost();
  }, 5000);
}

interface NewEvents {
  readonly events: readonly AcceptedEvent[];
}

function connect(): void {
  disconnect();
  if (session.peek() === "signed_out") return;
  heardAt = performance.now();
  const opened = new EventSource(ofTailnet("/api/v1/live"));
  source = opened;
  const on = <Data>(name: string, use: (data: Data) => void): void =>
    opened.addEventListener(name, ({ data }: MessageEvent<string>) => {
      heardAt = performance.now();
      use(JSON.parse(data) as Data);
    });
  opened.addEventListener("open", () => {
    openedAt = performance.now();
    state.connection.value = "open";
    state.trouble.value = undefined;
    state.reconnections.value++;
    void loadHistory(opened);
    void loadTailnets();
  });
  opened.addEventListener("error", () => void lost());
  on<Overview>("overview", useOverview);
  on<TrafficSample>("sample", (sample) => {
    addSample(state.samples.peek().columns, sample);
    state.samples.value = { columns: state.samples.peek().columns };
  });
  on<NewEvents>("events", ({ events }) => {
    useEvents([...(state.events.peek() ?? []), ...events]);
  });
}

function rest(): void {
  disconnect();
  state.connection.value = "connecting";
}

/** Clears all data on sign-out. */
function forget(): void {
  rest();
  state.overview.value = undefined;
  state.samples.value = { columns: noSamples() };
  state.events.value = undefined;
}

function disconnect(): void {
  clearTimeout(retry);
  source?.close();
  source = undefined;
}

/** Called when another request was answered: if the instance was away, it is back, and the stream reconnects without waiting for its next retry. */
export function instanceAnswered(): void {
  const isAway = state.connection.peek() === "closed" && state.trouble.peek() === undefined;
  if (isAway && source === undefined && isVisible.peek()) connect();
}

/**
 * The stream does not say why it failed, so the overview is requested to find out. A stream that ends just once, as each does
 * after an hour, is simply reopened.
 */
async function lost(): Promise<void> {
  disconnect();
  if (performance.now() - openedAt > steadyMs) retryMs = firstRetryMs;
  openedAt = Number.POSITIVE_INFINITY;
  const isFirst = retryMs === firstRetryMs;
  const waitMs = isFirst ? 0 : retryMs;
  retryMs = Math.min(2 * retryMs, lastRetryMs);
  let trouble: unknown;
  try {
    useOverview(await get<Overview>("/api/v1/overview"));
  } catch (error) {
    trouble = error;
  }
  // Meanwhile the stream may have been reopened, or the user may have signed out.
  if (source !== undefined || session.peek() === "signed_out") return;
  if (trouble !== undefined) {
    closed(trouble instanceof ApiError ? trouble.message : undefined);
    // The instance may serve other tailnets now.
    if (trouble instanceof ApiError) void loadTailnets();
  } else if (!isFirst) {
    closed("The instance sends no live updates");
    void loadHistory(undefined);
  }
  if (!isVisible.peek()) return;
  clearTimeout(retry);
  retry = setTimeout(connect, waitMs);
}

function closed(trouble: string | undefined): void {
  state.connection.value = "closed";
  state.trouble.value = trouble;
}

function useOverview(next: Overview): void {
  clockDifference = Date.parse(next.at) - Date.now();
  state.firstVersion.value ??= next.version;
  state.overview.value = next;
}

/** Loads what happened before the stream opened, or without one. It replaces all data, because the journal may be a different one. */
async function loadHistory(opened: EventSource | undefined): Promise<void> {
  // Messages streamed meanwhile may be missing from the responses.
  const streamed = { samples: [] as TrafficSample[], events: [] as AcceptedEvent[] };
  const loading = new AbortController();
  const keep = <Data>(name: string, use: (data: Data) => void): void =>
    opened?.addEventListener(name, ({ data }: MessageEvent<string>) => use(JSON.parse(data) as Data), {
      signal: loading.signal,
    });
  keep<TrafficSample>("sample", (sample) => streamed.samples.push(sample));
  keep<NewEvents>("events", (message) => streamed.events.push(...message.events));
  const [minutes, recent, events] = await Promise.all([
    answered(get<Traffic>("/api/v1/traffic")),
    answered(get<RecentTraffic>("/api/v1/traffic/recent")),
    answered(get<NewEvents>("/api/v1/events", { last: 20, types: "audit,webhook" })),
  ]);
  loading.abort();
  if (source !== opened) return;
  const columns = samplesOf(minutes, recent, serverNow());
  for (const sample of streamed.samples) addSample(columns, sample);
  state.samples.value = { columns };
  if (events !== undefined) useEvents([...events.events, ...streamed.events]);
}

async function loadTailnets(): Promise<void> {
  tailnets.value = (await answered(getTailnets())) ?? tailnets.peek();
}

/** Orders events by their own time, as shown, and drops duplicates. */
function useEvents(events: readonly AcceptedEvent[]): void {
  const byId = new Map(events.map((event) => [event.id, event]));
  const newest = [...byId.values()].toSorted((left, right) => Date.parse(right.time) - Date.parse(left.time));
  state.events.value = newest.slice(0, keptEvents);
}

async function answered<Answer>(answer: Promise<Answer>): Promise<Answer | undefined> {
  return answer.catch(() => undefined);
}
