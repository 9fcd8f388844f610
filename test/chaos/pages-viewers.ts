/** Viewers of the live page: real browser pages, or plain clients that make the same requests as a page. */
import { setTimeout as wait } from "node:timers/promises";
import type { Browser, CDPSession, Page } from "playwright-core";
import { startBrowser } from "../support/browser.ts";

export interface Viewers {
  /** Their current figures, for a line of the log. */
  figures(): Promise<string>;
  /** The same, after each page has collected its garbage. */
  settledFigures(): Promise<string>;
  stop(): Promise<void>;
}

type Say = (name: string, text: string) => void;

/** The requests of each view while it is open, and how often, in addition to the event stream. */
const views: Readonly<Record<string, readonly (readonly [pathAt: (now: number) => string, everyMs: number])[]>> = {
  now: [[(now) => `/api/v1/map?since=${now - 3_600_000}&until=${now}&limit=1000`, 10_000]],
  // Requested whenever the stream announces new ones.
  events: [[() => "/api/v1/events?last=50&types=audit,webhook", 2000]],
  delivery: [
    [() => "/api/v1/status", 5000],
    [() => "/api/v1/quarantine?limit=50", 10_000],
    [() => "/api/v1/instance", 30_000],
  ],
  history: [
    [(now) => `/api/v1/traffic?since=${now - 86_400_000}&until=${now}`, 30_000],
    [(now) => `/api/v1/map?since=${now - 86_400_000}&until=${now}&limit=1000`, 30_000],
  ],
};
const names = Object.keys(views);
const viewOf = (place: number): string => names[place % names.length] ?? "now";

/** Opens pages in one browser. A page that crashes is reopened, and so is the browser. */
export async function openPages(count: number, url: string, say: Say): Promise<Viewers> {
  let browser: Browser | undefined;
  let isEnding = false;
  let opened = 0;
  let crashes = 0;
  const pages = new Map<number, { readonly page: Page; readonly session: CDPSession }>();

  async function open(place: number): Promise<void> {
    if (browser?.isConnected() !== true) return;
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on("pageerror", (error) => say("error on a page", `${viewOf(place)}: ${error.message}`));
    page.on("crash", () => {
      crashes++;
      say("a page crashed", viewOf(place));
      pages.delete(place);
      void context.close().catch(() => undefined);
      if (!isEnding) void open(place).catch((error: unknown) => say("a page cannot be opened", String(error)));
    });
    await page.goto(`${url}/#/${viewOf(place)}`, { timeout: 120_000 });
    const session = await context.newCDPSession(page);
    await session.send("Performance.enable");
    pages.set(place, { page, session });
    opened++;
  }

  async function openAll(): Promise<void> {
    browser = await startBrowser();
    browser.on("disconnected", () => {
      pages.clear();
      if (isEnding) return;
      say("the browser ended", "it is started again");
      void openAll().catch((error: unknown) => say("the browser cannot be started", String(error)));
    });
    for (let place = 0; place < count; place++) await open(place);
  }

  async function heapOf(session: CDPSession): Promise<number> {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? 0;
  }

  async function figures(): Promise<string> {
    const heaps = await Promise.all(
      [...pages].map(async ([place, { session }]) => {
        const bytes = await atMost(heapOf(session), 5000).catch(() => undefined);
        return bytes === undefined ? `${viewOf(place)} ?` : `${viewOf(place)} ${(bytes / 1e6).toFixed(1)}`;
      }),
    );
    return `${pages.size} pages (${opened} opened, ${crashes} crashed), heap MB: ${heaps.join(", ")}`;
  }

  await openAll();
  return {
    figures,
    async settledFigures() {
      for (const { session } of pages.values())
        await atMost(session.send("HeapProfiler.collectGarbage"), 20_000).catch(() => undefined);
      return figures();
    },
    async stop() {
      isEnding = true;
      await browser?.close().catch(() => undefined);
    },
  };
}

/** Clients without a browser: each has a stream and makes the requests of the views in turn. */
export function openClients(count: number, url: string, say: Say): Viewers {
  const ending = new AbortController();
  const { signal } = ending;
  const totals = { messages: 0, streams: 0, requests: 0, failures: 0, bytes: 0 };
  const troubles = new Set<string>();
  const trouble = (text: string): void => {
    if (signal.aborted) return;
    totals.failures++;
    if (troubles.has(text)) return;
    troubles.add(text);
    say("trouble of a client", text);
  };

  async function follow(): Promise<void> {
    while (!signal.aborted) {
      try {
        const answer = await fetch(`${url}/api/v1/live`, { headers: { accept: "text/event-stream" }, signal });
        if (answer.status !== 200 || answer.body === null) throw new Error(`/api/v1/live answered ${answer.status}`);
        totals.streams++;
        for await (const chunk of answer.body) {
          totals.bytes += chunk.length;
          totals.messages += Buffer.from(chunk).toString("latin1").split("\n\n").length - 1;
        }
        trouble("the stream has ended");
      } catch (error) {
        trouble(String(error));
      }
      await wait(1000, undefined, { signal }).catch(() => undefined);
    }
  }

  async function poll(pathAt: (now: number) => string, everyMs: number): Promise<void> {
    // Spreads the start of the requests.
    await wait(Math.random() * everyMs, undefined, { signal }).catch(() => undefined);
    while (!signal.aborted) {
      const path = pathAt(Date.now());
      try {
        const answer = await fetch(`${url}${path}`, { signal });
        totals.bytes += (await answer.arrayBuffer()).byteLength;
        totals.requests++;
        if (answer.status !== 200) trouble(`${path.replace(/\?.*/, "")} answered ${answer.status}`);
      } catch (error) {
        trouble(`${path.replace(/\?.*/, "")}: ${String(error)}`);
      }
      await wait(everyMs, undefined, { signal }).catch(() => undefined);
    }
  }

  const all = Array.from({ length: count }, (_, place) => [
    follow(),
    ...(views[viewOf(place)] ?? []).map(([pathAt, everyMs]) => poll(pathAt, everyMs)),
  ]).flat();
  const figures = async (): Promise<string> => {
    const { messages, streams, requests, failures, bytes } = totals;
    return `${count} clients (${streams} streams begun), ${messages} messages, ${requests} answers, ${failures} failures, ${(bytes / 1e6).toFixed(0)} MB`;
  };
  return {
    figures,
    settledFigures: figures,
    async stop() {
      ending.abort();
      await Promise.all(all);
    },
  };
}

async function atMost<Value>(value: Promise<Value>, ms: number): Promise<Value> {
  const late = new AbortController();
  const limit = wait(ms, undefined, { signal: late.signal }).then(() => {
    throw new Error("no answer in time");
  });
  try {
    return await Promise.race([value, limit]);
  } finally {
    limit.catch(() => undefined);
    late.abort();
  }
}
