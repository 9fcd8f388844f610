/**
 * Tests stream and poll together: whatever the stream loses, repeats or delays, however polls overlap and fail, and wherever
 * the program is killed, every record counts once, and the number of records the stream lost is exact.
 * `RECONCILE_SCENARIOS=1000` runs that many.
 */
import { expect, test } from "bun:test";
import { createRandom, type Random } from "../../src/demo/random.ts";
import { formatRfc3339 } from "../../src/lib/rfc3339.ts";
import { createPolledProgram, nameOf, policy } from "../support/polled-program.ts";
import { auditValue, connection, flowValue } from "../support/records.ts";
import { startTailnet, type Tailnet, type TailnetRecord } from "../support/tailnet/index.ts";

const scenarios = Number(process.env["RECONCILE_SCENARIOS"] ?? 25);
const firstSeed = Number(process.env["RECONCILE_SEED"] ?? 20_261_122);

const minute = 60_000;
const beganAt = Date.UTC(2026, 10, 2, 9);
const logSpanMs = 60 * minute;
const stepMs = 2 * minute;

/** A record and when the stream delivers it: never, once or repeatedly. */
interface Sent {
  readonly record: TailnetRecord;
  readonly arrivals: readonly number[];
}

function addRecords(tailnet: Tailnet, random: Random): readonly Sent[] {
  return Array.from({ length: 20 + random.below(40) }, (_, index): Sent => {
    const loggedAt = beganAt + random.below(logSpanMs);
    const logged = formatRfc3339([
      Math.floor(loggedAt / 1000),
      (loggedAt % 1000) * 1_000_000 + random.below(1_000_000),
    ]);
    const start = formatRfc3339([Math.floor(loggedAt / 1000) - 7, 0]);
    const end = formatRfc3339([Math.floor(loggedAt / 1000) - 2, 0]);
    const record = random.chance(0.8)
      ? tailnet.addFlow(
          flowValue({
            nodeId: `n${index}CNTRL`,
            start,
            end,
            virtualTraffic: [connection({ txBytes: 1 + random.below(1000) })],
          }),
          logged,
        )
      : tailnet.addAudit(auditValue({ eventGroupID: `group-${index}`, eventTime: start }), logged);
    if (random.chance(0.25)) return { record, arrivals: [] };
    const first = loggedAt + random.below(random.chance(0.2) ? 40 * minute : minute);
    const again = random.chance(0.25) ? [first + random.below(20 * minute)] : [];
    return { record, arrivals: [first, ...again] };
  });
}

async function runScenario(seed: number): Promise<void> {
  const random = createRandom(seed);
  const clockAt = { now: beganAt };
  await using tailnet = await startTailnet({ clock: () => clockAt.now });
  /** How far the program's clock is ahead of the log service's. */
  const aheadMs = random.chance(0.3) ? random.below(4 * 60 * minute) - 2 * 60 * minute : 0;
  tailnet.clockAheadMs = -aheadMs;
  clockAt.now += aheadMs;
  const sent = addRecords(tailnet, random);
  const waiting = sent.flatMap(({ record, arrivals }) => arrivals.map((at) => ({ at: at + aheadMs, record })));
  const program = createPolledProgram(tailnet, clockAt);
  await program.start("both");
  try {
    await program.poll();
    const endsAt = beganAt + logSpanMs + 70 * minute + Math.max(0, aheadMs) + 2 * 60 * minute;
    while (clockAt.now < endsAt) {
      clockAt.now += stepMs;
      const due = waiting.filter(({ at }) => at <= clockAt.now);
      waiting.splice(0, waiting.length, ...waiting.filter(({ at }) => at > clockAt.now));
      for (const part of splitAtRandom(due, random)) {
        const records = part.map(({ record }) => record);
        await program.stream(records);
        /** Resent because the response was lost. */
        if (random.chance(0.1)) await program.stream(records);
      }
      if (random.chance(0.15)) tailnet.fail({ path: /logging/, effect: random.pick(faults) });
      if (random.chance(0.1)) await program.abortedPoll(random.below(6));
      else if (random.chance(0.8)) await program.poll();
      if (random.chance(0.5)) await program.tick();
      if (random.chance(0.06)) {
        program.kill();
        if (random.chance(0.5)) clockAt.now += random.below(90 * minute);
        await program.start("both");
      }
    }
    tailnet.recover();
    clockAt.now += Math.max(0, -aheadMs) + (policy.lag + policy.overlap) * 1000 + 10 * minute;
    if (waiting.length > 0) await program.stream(waiting.map(({ record }) => record));
    expect(await program.poll()).toBe(true);
    await program.tick();

    const truth = sent.map(({ record }) => nameOf(record.polled)).toSorted();
    expect((await program.accepted()).toSorted()).toEqual(truth);
    const lost = sent.filter(({ arrivals }) => arrivals.length === 0).length;
    const repaired = program.sum("tailscale2otel.reconcile.repaired");
    expect(repaired - program.sum("tailscale2otel.reconcile.late")).toBe(lost);
    const bytes = sent.reduce((sum, { record }) => sum + transmitted(record), 0);
    expect(program.sum("tailscale.network.io", { "network.io.direction": "transmit" })).toBe(bytes);
    expect(program.sum("tailscale2otel.ingest.records", { outcome: "accepted" })).toBe(sent.length);
    expect(program.sum("tailscale2otel.ingest.records", { outcome: "quarantined" })).toBe(0);
    expect(program.sum("tailscale2otel.reconcile.unverifiable")).toBe(0);
    expect(program.sum("tailscale2otel.dedup.unproven")).toBe(0);
    expect(program.sum("tailscale.network.dedup.conflicts")).toBe(0);
  } finally {
    program.remove();
  }
}

function splitAtRandom<Item>(items: readonly Item[], random: Random): readonly (readonly Item[])[] {
  const parts = [];
  let at = 0;
  while (at < items.length) {
    const length = 1 + random.below(8);
    parts.push(items.slice(at, at + length));
    at += length;
  }
  return parts;
}

const faults = [
  { kind: "status", status: 500 },
  { kind: "status", status: 429, headers: { "retry-after": "1" } },
  { kind: "cut", afterBytes: 700 },
  { kind: "torn", afterBytes: 700 },
  { kind: "reset" },
] as const;

function transmitted({ polled }: TailnetRecord): number {
  const traffic = polled["virtualTraffic"] as readonly { txBytes: number }[] | undefined;
  return traffic?.reduce((sum, { txBytes }) => sum + txBytes, 0) ?? 0;
}

test(`${scenarios} seeded scenarios of gaps, repetitions, delays, overlaps, failures, clocks and kills`, async () => {
  for (let index = 0; index < scenarios; index++) {
    const seed = firstSeed + index;
    await runScenario(seed).catch((error: unknown) => {
      throw new Error(`scenario with RECONCILE_SEED=${seed} RECONCILE_SCENARIOS=1: ${String(error)}`, { cause: error });
    });
  }
}, 3_600_000);
