/** A periodic read from the API: when it is repeated, what is logged, and what the gauges report. */
import { afterEach, expect, test } from "bun:test";
import { setTimeout as wait } from "node:timers/promises";
import { TailscaleError } from "../../src/tailscale/errors.ts";
import { Unavailable } from "../../src/errors.ts";
import type { Telemetry } from "../../src/catalogue/telemetry.ts";
import { createScrape, type Scrape, type Step } from "../../src/tailscale/scrape.ts";
import { observedGauges, recordedLog } from "../support/recorded-telemetry.ts";

const hour = 3_600_000;
const now = Date.UTC(2026, 10, 22);

let started: Scrape | undefined;
afterEach(() => started?.stop(1000));

/** A scrape whose reads end with these outcomes in order; `done` resolves when another read starts. */
function scrapeOf(outcomes: readonly (Step | Error)[], intervalMs = hour) {
  const log = recordedLog();
  const gauges = observedGauges();
  const errors: Record<string, number> = {};
  const telemetry: Telemetry = {
    ...gauges,
    add(_, value, attributes) {
      const { error_type: type = "" } = attributes as { readonly error_type?: string };
      errors[type] = (errors[type] ?? 0) + value;
    },
  };
  const done = Promise.withResolvers<void>();
  const rest = [...outcomes];
  const signals: AbortSignal[] = [];
  const scrape = createScrape(
    {
      collector: "auditlogs",
      what: "poll the configuration log",
      intervalMs,
      async read(signal) {
        signals.push(signal);
        const outcome = rest.shift();
        if (outcome instanceof Error) throw outcome;
        if (outcome !== undefined) return outcome;
        done.resolve();
        return new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
      },
    },
    { telemetry, logger: log, clock: () => now, random: () => 0 },
  );
  started = scrape;
  const read = (name: string) => gauges.read(`tailscale2otel.scrape.${name}`)["auditlogs"];
  return { scrape, log, done: done.promise, signals, read, errors };
}

test("reads again at once while it is behind, and reports each success", async () => {
  const { scrape, log, done, read } = scrapeOf(["behind", "behind"]);
  expect([read("success"), read("last_timestamp"), read("lag")]).toEqual([undefined, undefined, undefined]);
  scrape.start();
  await done;
  expect(scrape.status).toEqual({ readUntil: "2026-11-22T00:00:00.000Z", lastSuccess: "2026-11-22T00:00:00.000Z" });
  expect([read("success"), read("last_timestamp"), read("lag")]).toEqual([1, now / 1000, 0]);
  expect(log.lines).toEqual([]);
});

test("reads again after its interval, and never again once it is done", async () => {
  const { scrape, done, signals } = scrapeOf(["current", "current"], 1);
  scrape.start();
  await done;
  expect(signals).toHaveLength(3);
  for (const [step, intervalMs] of [["current", hour] as const, ["over", 1] as const]) {
    const idle = scrapeOf([step], intervalMs);
    idle.scrape.start();
    expect(await Promise.race([idle.done.then(() => "read again"), wait(20, "idle")])).toBe("idle");
    await idle.scrape.stop(60_000);
  }
});

test("retries at once if the error says so, and reports the failure until a read succeeds", async () => {
  const { scrape, log, done, read } = scrapeOf([new Unavailable("too much", 0), new Unavailable("too much", 0)]);
  scrape.start();
  await done;
  expect(scrape.status).toEqual({ trouble: "too much" });
  expect(read("staleness")).toBe(0);
  expect(read("duration")).toBeGreaterThan(0);
  expect(read("budget")).toBeCloseTo(((read("duration") ?? 0) * 1000) / hour, 9);
  expect([read("success"), read("last_timestamp")]).toEqual([0, undefined]);
  expect(log.said("warn", "cannot poll the configuration log; retrying")).toHaveLength(1);
});

test("counts failed reads by cause, from 0, but not the one that a stop aborts", async () => {
  const refused = new TailscaleError("missing_scope", "HTTP 403", "Give it.", 403);
  const { scrape, done, errors } = scrapeOf([new Unavailable("too much", 0), refused], 1);
  expect(errors).toMatchObject({ missing_scope: 0, timeout: 0, other: 0 });
  scrape.start();
  await done;
  await scrape.stop(1000);
  expect(errors).toMatchObject({ missing_scope: 1, timeout: 0, other: 1 });
});

test("aborts the read in flight when it stops, and can be stopped before its start and twice", async () => {
  const never = scrapeOf([]);
  await never.scrape.stop(1000);
  const { scrape, done, signals } = scrapeOf([]);
  scrape.start();
  await done;
  await scrape.stop(60_000);
  await scrape.stop(60_000);
  expect(signals[0]?.aborted).toBe(true);
});

test("stops at its deadline even if the read in flight never ends", async () => {
  const reading = Promise.withResolvers<void>();
  const scrape = createScrape(
    {
      collector: "auditlogs",
      what: "poll the configuration log",
      intervalMs: hour,
      read() {
        reading.resolve();
        return new Promise<Step>(() => {});
      },
    },
    { telemetry: observedGauges(), logger: recordedLog(), clock: () => now, random: () => 0 },
  );
  scrape.start();
  await reading.promise;
  await scrape.stop(1);
  expect(scrape.status).toEqual({});
});
