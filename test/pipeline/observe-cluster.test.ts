/** Tests what an instance reports about those that share its journal, over a database that answers, is slow, or is down. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import { createInstruments } from "../../src/export/instruments.ts";
import type { ClusterView, Member } from "../../src/journal/index.ts";
import { Unavailable } from "../../src/errors.ts";
import { observeCluster } from "../../src/pipeline/observe.ts";
import { until } from "../support/wait.ts";

const leaseMs = 10_000;
const now = 1_800_000_000_000;
const names = ["members", "leading", "lease.held", "fence", "lag", "database.up"] as const;

let cluster: { member: string; isLeading: boolean; view(): Promise<ClusterView> };
let asked: number;
let durations: number[];
let read: () => Readonly<Record<string, readonly number[]>>;
let stop: () => void;

const member = (id: string, seenAt: number): Member => ({
  id,
  host: `host-${id}`,
  version: "1.2.3",
  adminAddress: "",
  startedAt: now - 60_000,
  seenAt,
  isLeader: id === "a",
});

const view: ClusterView = {
  members: [member("a", now - 3300), member("b", now), member("killed", now - leaseMs - 1)],
  fence: 7,
  leaseMs: 8200,
  lastSeq: 100,
  measuredSeq: 95,
  cursorSeq: 71,
  roundTripMs: 1.5,
};

beforeEach(() => {
  asked = 0;
  durations = [];
  cluster = { member: "b", isLeading: false, view: async () => view };
  const gauges = new Map<string, () => readonly { value: number }[]>();
  const telemetry: Telemetry = {
    ...silentTelemetry,
    record: (metric, value) => void (metric === "tailscale2otel.cluster.database.duration" && durations.push(value)),
    observe: (metric, ask) => void gauges.set(metric, ask),
  };
  read = () =>
    Object.fromEntries(
      names.map((name) => [name, (gauges.get(`tailscale2otel.cluster.${name}`)?.() ?? []).map(({ value }) => value)]),
    );
  const asking = {
    get member() {
      return cluster.member;
    },
    get isLeading() {
      return cluster.isLeading;
    },
    view() {
      asked++;
      return cluster.view();
    },
  };
  stop = observeCluster(asking, { telemetry, leaseMs, everyMs: 1 });
});
afterEach(() => stop());

const answered = () => until(() => durations.length > 0);

test("live members, the leader, and its lag are reported", async () => {
  await answered();
  expect(read()).toEqual({
    members: [2],
    leading: [0],
    "lease.held": [1],
    fence: [7],
    lag: [5, 30],
    "database.up": [1],
  });
  expect(durations[0]).toBe(0.0015);
  cluster.isLeading = true;
  expect(read()["leading"]).toEqual([1]);
});

test("a lease that has expired or was released has no holder, and a lag is never below 0", async () => {
  cluster.view = async () => ({ ...view, leaseMs: -now, measuredSeq: 101, cursorSeq: 102 });
  await until(() => read()["lease.held"]?.[0] === 0);
  expect(read()["lag"]).toEqual([0, 0]);
});

test("what only the database knows is not reported while it is down, and is reported again afterwards", async () => {
  await answered();
  cluster.view = async () => {
    throw new Unavailable("the database does not answer");
  };
  await until(() => read()["database.up"]?.[0] === 0);
  expect(read()).toEqual({ members: [], leading: [0], "lease.held": [], fence: [], lag: [], "database.up": [0] });
  const before = durations.length;
  cluster.view = async () => view;
  await until(() => durations.length > before);
  expect(read()).toMatchObject({ members: [2], "database.up": [1] });
});

test("a database that hangs delays no collection, and is not queried again meanwhile", async () => {
  const { promise, resolve } = Promise.withResolvers<ClusterView>();
  await answered();
  cluster.view = () => promise;
  const hanging = asked;
  await until(() => asked > hanging);
  const { telemetry, collect } = createInstruments(
    { enabled: true, logs: false, instance_id: "" },
    { resource: {}, common: {}, version: "1" },
  );
  const further = observeCluster({ ...cluster, isLeading: true }, { telemetry, leaseMs, everyMs: 1 });
  const { scopeMetrics } = await collect();
  further();
  const leading = scopeMetrics[0]?.metrics.find(
    ({ descriptor }) => descriptor.name === "tailscale2otel.cluster.leading",
  );
  expect(leading?.dataPoints.map(({ value }) => value)).toEqual([1]);
  expect(asked).toBe(hanging + 1);
  resolve({ ...view, fence: 8 });
  await until(() => read()["fence"]?.[0] === 8);
});

test("no query is made after the stop", async () => {
  await answered();
  stop();
  const before = asked;
  let others = 0;
  const other = { member: "c", isLeading: false, view: async () => (others++, view) };
  const stopOther = observeCluster(other, { telemetry: silentTelemetry, leaseMs, everyMs: 1 });
  await until(() => others > 3);
  stopOther();
  expect(asked).toBe(before);
});
