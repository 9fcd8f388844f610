/** Tests flows in the ledger: bytes and packets by direction, the roll-up that loses no byte, exit nodes, and observed fields. */
import { describe, expect, test } from "bun:test";
import type { Fold } from "../../src/ledger/index.ts";
import { configOf, type Entry, Flows, ledgerOver, shown, SnapshotJournal } from "./support.ts";

const io = "tailscale.network.io";
const rollup = "tailscale.network.io.rollup";

function start(...settings: string[]) {
  const journal = new SnapshotJournal();
  const config = configOf("cardinality.metric_limit=100000", ...settings);
  const ledger = ledgerOver(journal, config);
  const flows = new Flows(config, journal);
  return { ledger, flows, journal };
}

async function folded(settings: readonly string[], ...records: (readonly Entry[])[]): Promise<Fold> {
  const { ledger, flows } = start(...settings);
  ledger.addFlows(flows.columns(records), undefined, flows.edges);
  return ledger.fold(2000);
}

/** `source destination transport direction value` of a metric's series, sorted. */
const lines = (fold: Fold, name: string): string[] =>
  shown(fold, name)
    .map(({ attributes, value }) => {
      const at = attributes as Record<string, string>;
      const direction = at["network.io.direction"] === "transmit" ? "tx" : "rx";
      const who = `${at["tailscale.src.node"] ?? "-"} ${at["tailscale.dst.node"] ?? "-"}`;
      return `${who} ${at["network.transport"]} ${direction} ${value}`;
    })
    .toSorted();

const top = (pairs: number): string[] => [
  "cardinality.flow.metrics_mode=rollup",
  `cardinality.flow.rollup_top_n=${pairs}`,
];

describe("flows", () => {
  test("become bytes and packets by direction, without what is absent or zero", async () => {
    const fold = await folded(
      ["cardinality.flow.metrics_mode=all"],
      [{ from: "a", to: "127.3.3.40:4", traffic: "physical", proto: 0, tx: 5, rxPackets: 3 }],
    );
    const shared = { "network.transport": "unknown", "tailscale.traffic_type": "physical" };
    const ends = { "tailscale.src.node": "a", "tailscale.path": "derp", "tailscale.derp.region_id": "4" };
    expect(shown(fold, io)).toEqual([
      { attributes: { "network.io.direction": "transmit", ...shared, ...ends }, value: 5, startAt: 1000 },
    ]);
    expect(shown(fold, "tailscale.network.packets")).toEqual([
      { attributes: { "network.io.direction": "receive", ...shared, ...ends }, value: 3, startAt: 1000 },
    ]);
    expect(shown(fold, "tailscale.network.flows")).toEqual([{ attributes: shared, value: 1, startAt: 1000 }]);
  });

  test.each([
    ["all", [io]],
    ["rollup", [rollup]],
    ["both", [io, rollup]],
  ] as const)("in mode %s", async (mode, names) => {
    const fold = await folded([`cardinality.flow.metrics_mode=${mode}`], [{ from: "a", to: "b", tx: 1 }]);
    expect(fold.metrics.map(({ name }) => name as string).filter((name) => name.startsWith(io))).toEqual([...names]);
  });

  test("of dropped records are not counted", async () => {
    const { ledger, flows } = start(...top(5));
    const columns = flows.columns([[{ from: "a", to: "b", tx: 1 }], [{ from: "a", to: "b", tx: 10 }]]);
    ledger.addFlows(columns, Uint8Array.of(1, 0), flows.edges);
    const fold = await ledger.fold(2000);
    expect(lines(fold, rollup)).toEqual(["a b tcp tx 10"]);
    expect(shown(fold, "tailscale.network.reporter.observations")).toMatchObject([{ value: 1 }]);
  });

  test("from left-out entries are not counted", async () => {
    const { ledger, flows } = start(...top(5));
    const columns = flows.columns([
      [
        { from: "a", to: "b", tx: 1 },
        { from: "nonsense", to: "b", tx: 100 },
      ],
    ]);
    ledger.addFlows(columns, undefined, flows.edges);
    const fold = await ledger.fold(2000);
    expect(lines(fold, rollup)).toEqual(["a b tcp tx 1"]);
    expect(shown(fold, "tailscale.network.flows")).toMatchObject([{ value: 1 }]);
  });

  test("are refused if their edges are renumbered in the middle of an interval", () => {
    const { ledger, flows } = start("cardinality.flow.collapse_external=false");
    const entries = Array.from({ length: 5000 }, (_, n) => ({ from: `192.0.${n >> 8}.${n & 255}:1`, to: "b" }));
    const columns = flows.columns([entries]);
    ledger.addFlows(columns, undefined, flows.edges);
    const generation = flows.edges.generation;
    flows.edges.renew();
    expect(flows.edges.generation).not.toBe(generation);
    expect(() => ledger.addFlows(columns, undefined, flows.edges)).toThrow("two generations");
  });

  test("are counted on after a fold that emptied the edge book, once they are measured again", async () => {
    const { ledger, flows } = start("cardinality.flow.collapse_external=false", ...top(8000));
    const entries = Array.from({ length: 5000 }, (_, n) => ({ from: `192.0.${n >> 8}.${n & 255}:1`, to: "b", tx: 1 }));
    const columns = flows.columns([entries]);
    ledger.addFlows(columns, undefined, flows.edges);
    await ledger.fold(2000);
    flows.measure(columns);
    ledger.addFlows(columns, undefined, flows.edges);
    const series = shown(await ledger.fold(3000), rollup);
    expect(series.reduce((sum, { value }) => sum + value, 0)).toBe(10_000);
    // Tables are seeded per process: about one pair in a thousand may find no room and count as `__other__`.
    expect(series.filter(({ value }) => value === 2).length).toBeGreaterThan(4900);
  });
});

describe("the top pairs of a roll-up", () => {
  test("have the most bytes in both directions", async () => {
    const fold = await folded(top(2), [
      { from: "a", to: "z", tx: 5 },
      { from: "b", to: "z", tx: 1, rx: 5 },
      { from: "c", to: "z", tx: 4 },
    ]);
    expect(lines(fold, rollup)).toEqual([
      "__other__ __other__ tcp tx 4",
      "a z tcp tx 5",
      "b z tcp rx 5",
      "b z tcp tx 1",
    ]);
  });

  test("are ranked over all their classes", async () => {
    const fold = await folded(top(1), [
      { from: "a", to: "z", tx: 5 },
      { from: "b", to: "z", tx: 3 },
      { from: "b", to: "z", tx: 3, proto: 17 },
    ]);
    expect(lines(fold, rollup)).toEqual(["__other__ __other__ tcp tx 5", "b z tcp tx 3", "b z udp tx 3"]);
  });

  test("are, at a tie, the first by key, whatever the order of arrival", async () => {
    const [a, b] = [
      { from: "a", to: "z", tx: 5 },
      { from: "b", to: "z", tx: 5 },
    ];
    for (const entries of [
      [a, b],
      [b, a],
    ]) {
      expect(lines(await folded(top(1), entries), rollup)).toEqual(["__other__ __other__ tcp tx 5", "a z tcp tx 5"]);
    }
  });

  test("are distinguished from one with an absent end", async () => {
    const fold = await folded(top(5), [
      { from: "a", to: "z", tx: 5 },
      { to: "z", tx: 6 },
    ]);
    expect(lines(fold, rollup)).toEqual(["- z tcp tx 6", "a z tcp tx 5"]);
  });
});

describe("the rest of a roll-up", () => {
  test("is summed by class, including the region", async () => {
    const relayed = (region: number, tx: number): Entry => ({
      from: "c",
      to: `127.3.3.40:${region}`,
      traffic: "physical",
      tx,
    });
    const fold = await folded(
      ["cardinality.flow.rollup_top_n=1"],
      [
        { from: "z", to: "y", tx: 100 },
        { from: "a", to: "z", tx: 1 },
        { from: "b", to: "z", tx: 2 },
        relayed(4, 4),
        relayed(5, 8),
      ],
    );
    const regions = shown(fold, rollup).map(({ attributes, value }) => [
      (attributes as Record<string, string>)["tailscale.derp.region_id"],
      value,
    ]);
    expect(regions).toEqual([
      [undefined, 100],
      ["4", 4],
      ["5", 8],
      [undefined, 3],
    ]);
  });

  test("has no names if nodes are not told apart", async () => {
    const fold = await folded(
      ["cardinality.flow.node_dims=false", "cardinality.flow.rollup_top_n=1"],
      [
        { from: "a", to: "b", tx: 5 },
        { from: "c", to: "d", tx: 6 },
      ],
    );
    expect(lines(fold, rollup)).toEqual(["- - tcp tx 11"]);
  });

  test("includes pairs that found no room in an interval, and no byte is lost", async () => {
    const { ledger, flows } = start("cardinality.flow.collapse_external=false", ...top(8000));
    const many = Array.from({ length: 12_000 }, (_, n) => ({
      from: `198.${n >> 14}.${(n >> 8) & 63}.${n & 255}:1`,
      to: "a",
      tx: 1,
    }));
    flows.add(ledger, ...many);
    flows.add(ledger, ...many.slice(0, 1).map((entry) => ({ ...entry, tx: 10 })));
    const series = shown(await ledger.fold(2000), rollup);
    expect(series.length).toBeLessThanOrEqual(8001);
    expect(series.reduce((sum, { value }) => sum + value, 0)).toBe(12_010);
    expect(series.some(({ value }) => value === 11)).toBe(true);
  });

  test("has no ports, unlike `all`", async () => {
    const fold = await folded(
      [
        "cardinality.flow.metrics_mode=both",
        "cardinality.flow.destination_port=true",
        "cardinality.flow.rollup_top_n=1",
      ],
      [22, 50_001].flatMap((port) => [
        { from: "a", to: `z:${port}`, tx: 5 },
        { from: "b", to: `z:${port}`, tx: 1 },
      ]),
    );
    const ports = shown(fold, io).map(({ attributes }) => (attributes as Record<string, string>)["destination.port"]);
    expect(ports.toSorted()).toEqual(["22", "22", "50001", "50001"]);
    expect(shown(fold, rollup).every(({ attributes }) => !("destination.port" in attributes))).toBe(true);
    expect(shown(fold, rollup).reduce((sum, { value }) => sum + value, 0)).toBe(12);
  });
});

describe("exit traffic", () => {
  const exits = (nodeId: string, flows: Flows) =>
    flows.columns([[{ from: "a", to: "192.0.2.1", traffic: "exit", tx: 3, rx: 2 }]], nodeId);

  test("is counted by the node that reports it for others, from the exit entries of its records only", async () => {
    const { ledger, flows } = start();
    const columns = flows.columns([
      [
        { from: "b", to: "192.0.2.1", traffic: "exit", tx: 3 },
        { from: "a", to: "192.0.2.1", traffic: "exit", tx: 50 },
        { from: "a", to: "b", tx: 100 },
      ],
    ]);
    ledger.addFlows(columns, undefined, flows.edges);
    expect(shown(await ledger.fold(2000), "tailscale.exit_node.io")).toEqual([
      {
        attributes: { "tailscale.exit_node": "a", "network.io.direction": "transmit" },
        value: 3,
        startAt: 1000,
      },
    ]);
  });

  test("is counted for 1,000 nodes in an interval, and summed for the others", async () => {
    const { ledger, flows } = start();
    for (let node = 0; node < 1500; node++) ledger.addFlows(exits(`node${node}`, flows), undefined, flows.edges);
    const series = shown(await ledger.fold(2000), "tailscale.exit_node.io");
    expect(series).toHaveLength(2 * 1001);
    expect(series.reduce((sum, { value }) => sum + value, 0)).toBe(1500 * 5);
    const others = series.filter(
      ({ attributes }) => "tailscale.exit_node" in attributes && attributes["tailscale.exit_node"] === "__other__",
    );
    expect(others.map(({ value }) => value)).toEqual([500 * 3, 500 * 2]);
  });

  test("is not counted by node if that is disabled", async () => {
    const { ledger, flows } = start("cardinality.flow.exit_node_attribution=false");
    ledger.addFlows(exits("na", flows), undefined, flows.edges);
    expect(shown(await ledger.fold(2000), "tailscale.exit_node.io")).toEqual([]);
  });
});

test("each entry counts once per field class, by what it contains; a relay's region is not a port", async () => {
  const fold = await folded(
    [],
    [
      { from: "a", to: "b:22" },
      { to: "127.3.3.40:4", traffic: "physical", proto: 0 },
    ],
  );
  const observed = shown(fold, "tailscale.network.field.observations").map(({ attributes, value }) =>
    [...Object.values(attributes), value].join(" "),
  );
  expect(observed.toSorted()).toEqual([
    "physical destination present 1",
    "physical destination_port missing 1",
    "physical protocol missing 1",
    "physical source missing 1",
    "physical source_port missing 1",
    "virtual destination present 1",
    "virtual destination_port present 1",
    "virtual protocol present 1",
    "virtual source present 1",
    "virtual source_port present 1",
  ]);
});
