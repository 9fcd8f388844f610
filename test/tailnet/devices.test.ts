/** The tailnet's devices: what is used, stored, logged and measured. */
import { setImmediate as allSettled } from "node:timers/promises";
import { afterEach, describe, expect, test } from "bun:test";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import { Unavailable } from "../../src/errors.ts";
import type { Device } from "../../src/processors/directory.ts";
import { createDeviceRefresh, decodeDevices, encodeDevices } from "../../src/tailnet/devices.ts";
import { type ApiDevice, TailscaleError } from "../../src/tailscale/index.ts";

const web: Device = {
  nodeId: "nWEB1CNTRL",
  label: "web-1",
  addresses: ["100.64.1.1"],
  os: "linux",
  user: "",
  tags: ["tag:web"],
};
const renamed: Device = { ...web, label: "web-2" };
const other: Device = { ...web, nodeId: "nDB1CNTRL", label: "db-1" };

const trouble = new TailscaleError("missing_scope", "the devices may not be read", "Grant devices:core:read.", 403);

let started: ReturnType<typeof createDeviceRefresh> | undefined;
afterEach(() => started?.stop());

type Answer = readonly Device[] | Error;

function asTheApiSays({ label, addresses, tags, ...device }: Device): ApiDevice {
  return { ...device, name: `${label}.tail1234.ts.net`, addresses: [...addresses], tags: [...tags] };
}

/** A refresh with an API that gives these answers in order and then hangs, and everything the refresh does with them. */
function setUp(
  answers: readonly Answer[],
  options: { copy?: Uint8Array; maxDevices?: number; keep?: () => void } = {},
) {
  const used: (readonly Device[])[] = [];
  const kept: (readonly Device[])[] = [];
  const lines: { level: string; message: string; fields: unknown }[] = [];
  const gauges = new Map<string, () => readonly { value: number; attributes: object }[]>();
  const asked = Promise.withResolvers<void>();
  const rest = [...answers];
  const log = (level: string) => (message: string, fields?: unknown) => void lines.push({ level, message, fields });
  const observe: Telemetry["observe"] = (metric, read) => void gauges.set(metric, read);
  const state = { now: Date.UTC(2026, 10, 2) };
  const refresh = createDeviceRefresh(
    { intervalMs: 1, ...(options.maxDevices === undefined ? {} : { maxDevices: options.maxDevices }) },
    {
      api: {
        devices: async () => {
          const answer = rest.shift();
          if (answer === undefined) {
            asked.resolve();
            return new Promise<never>(() => {});
          }
          if (answer instanceof Error) throw answer;
          return answer.map(asTheApiSays);
        },
      },
      telemetry: { ...silentTelemetry, observe },
      logger: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
      clock: () => state.now,
      random: () => 0,
      journal: {
        readState: (name) => (name === "devices" ? options.copy : undefined),
        writeState(name, value) {
          options.keep?.();
          if (name === "devices") kept.push(decodeDevices(value) ?? []);
        },
      },
      use: (devices) => void used.push(devices),
    },
  );
  started = refresh;
  return {
    refresh,
    used,
    kept,
    lines,
    state,
    /** Resolves when every answer has been used. */
    allAnswered: asked.promise,
    gauge: (name: string) => gauges.get(`tailscale2otel.scrape.${name}`)?.(),
  };
}

test("uses and stores the API's answer, but only if it changed", async () => {
  const { refresh, used, kept, lines, allAnswered } = setUp([[web], [web], [renamed], [renamed, other], [other]]);
  refresh.start();
  await allAnswered;
  expect(used).toEqual([[web], [renamed], [renamed, other], [other]]);
  expect(kept).toEqual(used);
  expect(lines).toEqual([]);
});

test("uses a stored copy at once, and not again if the API's answer is the same", async () => {
  const { refresh, used, kept, allAnswered } = setUp([[web], [other]], { copy: encodeDevices([web]) });
  refresh.start();
  expect(used).toEqual([[web]]);
  await allAnswered;
  expect(used).toEqual([[web], [other]]);
  expect(kept).toEqual([[other]]);
});

test("stores the copy with a later answer if the journal failed to store it, and uses it once", async () => {
  let refusals = 1;
  const keep = (): void => {
    if (refusals-- > 0) throw new Unavailable("the database is away");
  };
  const { refresh, used, kept, lines, allAnswered } = setUp([[web], [web], [web]], { keep });
  refresh.start();
  await allAnswered;
  expect([used, kept]).toEqual([[[web]], [[web]]]);
  expect(lines.map(({ fields }) => fields)).toEqual([{ reason: "the database is away" }]);
});

test("uses an empty list of devices", async () => {
  const { refresh, used, allAnswered } = setUp([[]]);
  refresh.start();
  await allAnswered;
  expect(used).toEqual([[]]);
});

describe("while the API fails", () => {
  test("the last devices stay in use, and failure and recovery are logged once each", async () => {
    const { refresh, used, lines, allAnswered } = setUp([[web], trouble, trouble, trouble, [web], trouble]);
    refresh.start();
    await allAnswered;
    expect(used).toEqual([[web]]);
    expect(lines).toEqual([
      {
        level: "warn",
        message: "cannot read the tailnet's devices (names come from the last copy, or from the records); retrying",
        fields: { reason: trouble.message, remedy: trouble.remedy },
      },
      { level: "info", message: expect.stringContaining("retry succeeded: read"), fields: { failures: 3 } },
      { level: "warn", message: expect.stringContaining("cannot read"), fields: expect.anything() },
    ]);
  });

  test("no names are known at the first start, which is logged", async () => {
    const { refresh, used, lines, allAnswered } = setUp([trouble]);
    refresh.start();
    await allAnswered;
    expect(used).toEqual([]);
    expect(lines[0]?.message).toContain("names come from the last copy, or from the records");
  });

  test("the metrics report the failure", async () => {
    const { refresh, state, gauge, allAnswered } = setUp([[web], trouble], { copy: encodeDevices([web]) });
    const attributes = { "tailscale.collector": "devices" };
    expect(["success", "last_timestamp", "lag"].map(gauge)).toEqual([[], [], []]);
    refresh.start();
    expect(["success", "last_timestamp", "lag"].map(gauge)).toEqual([[], [], []]);
    await allAnswered;
    state.now += 90_000;
    expect(gauge("success")).toEqual([{ value: 0, attributes }]);
    expect(gauge("last_timestamp")).toEqual([{ value: Date.UTC(2026, 10, 2) / 1000, attributes }]);
    expect(gauge("lag")).toEqual([{ value: 90, attributes }]);
  });

  test("and then recovers, the metrics report success", async () => {
    const { refresh, gauge, allAnswered } = setUp([trouble, [web]]);
    refresh.start();
    await allAnswered;
    expect(gauge("success")?.map(({ value }) => value)).toEqual([1]);
  });
});

test("truncates a list with too many devices, and logs that when the list changes", async () => {
  const { refresh, used, lines, allAnswered } = setUp([[web, other], [web, other], [renamed, other], [renamed]], {
    maxDevices: 1,
  });
  refresh.start();
  await allAnswered;
  expect(used).toEqual([[web], [renamed]]);
  const warning = {
    level: "warn",
    message: "the tailnet has more devices than this program keeps; the others have no name",
    fields: { kept: 1 },
  };
  expect(lines).toEqual([warning, warning]);
});

test("uses devices that cannot be stored, and logs that when they change", async () => {
  const { refresh, used, lines, allAnswered } = setUp([[web], [other]], {
    keep: () => {
      throw new Error("the disk is full");
    },
  });
  refresh.start();
  await allAnswered;
  expect(used).toEqual([[web], [other]]);
  const warning = {
    level: "warn",
    message: "cannot store the tailnet's devices for the next start",
    fields: { reason: "the disk is full" },
  };
  expect(lines).toEqual([warning, warning]);
});

test("uses nothing after the stop, which is safe before the start and twice", async () => {
  const before = setUp([[web]]);
  before.refresh.stop();
  before.refresh.stop();
  const { refresh, used } = setUp([[web]]);
  refresh.start();
  refresh.stop();
  await allSettled();
  expect(used).toEqual([]);
});

test("a damaged stored copy is ignored, and replaced once the API answers", async () => {
  const copy = encodeDevices([web]);
  copy[copy.length - 4] = (copy[copy.length - 4] as number) ^ 0xff;
  const { refresh, used, allAnswered } = setUp([[other]], { copy: copy.subarray(0, copy.length - 1) });
  refresh.start();
  expect(used).toEqual([]);
  await allAnswered;
  expect(used).toEqual([[other]]);
});
