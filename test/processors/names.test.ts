/** Tests names: no record's claim can change what the directory knows. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { JsonObject } from "../../src/records/types.ts";
import { type End, EndBook } from "../../src/processors/ends.ts";
import { directoryOf, type ProcessorSettings } from "../../src/processors/index.ts";
import { reporterName } from "../../src/processors/names.ts";
import { addressIpv4, addressIpv6, type FlowColumns } from "../../src/records/flow/columns.ts";
import { ipv4Text, ipv6Text, parseAddress } from "../../src/records/address.ts";
import { devices } from "../support/devices.ts";
import { seeded } from "../support/random.ts";
import { columnsOf } from "../support/columns.ts";
import { connection, flowValue } from "../support/records.ts";
import { settingsWith } from "./given.ts";

const webOne = { nodeId: "nWEB", label: "web-1", addresses: [], os: "", user: "", tags: [] };

const withDirectory = (): ProcessorSettings => settingsWith({ directory: { current: directoryOf(devices) } });

/** The end with that address as the record's source. */
function endOf(text: string, value: JsonObject, settings: ProcessorSettings, ends = new EndBook(settings)): End {
  const src = text.includes(":") ? `[${text}]:1` : `${text}:1`;
  const columns = columnsOf({ ...value, virtualTraffic: [connection({ src })] });
  ends.begin(columns, 0);
  return ends.of((columns.ends[0] as number) & 3, columns.source[0] as number);
}

const addresses = [...devices.flatMap((device) => device.addresses), "100.64.7.7", "192.0.2.1"];

const claim = fc.record({
  nodeId: fc.constantFrom("nONECNTRL", ...devices.map(({ nodeId }) => nodeId)),
  name: fc.oneof(fc.constantFrom("web-1", "db-1.tail1234.ts.net", "unverified:x", "external", ""), fc.string()),
  addresses: fc.subarray(addresses),
  user: fc.constantFrom("mallory@example.com", ""),
  os: fc.constantFrom("plan9", ""),
});

const claiming: fc.Arbitrary<JsonObject> = fc
  .record({ srcNode: claim, dstNodes: fc.array(claim, { maxLength: 6 }) })
  .map((nodes) => flowValue(nodes));

test("no claim renames what the directory knows, or changes its user or system", () => {
  const settings = withDirectory();
  const ends = new EndBook(settings);
  fc.assert(
    fc.property(claiming, (value) => {
      for (const device of devices) {
        for (const text of device.addresses) {
          const { name, identity } = endOf(text, value, settings, ends);
          if (device.label !== "") expect(name).toBe(device.label);
          expect(identity).toEqual({ user: device.user, tags: device.tags.join(","), os: device.os });
        }
      }
    }),
    seeded(100),
  );
});

test("with a directory, a name is from the directory, marked, unknown or external", () => {
  const labels = new Set(devices.map(({ label }) => label));
  const settings = withDirectory();
  fc.assert(
    fc.property(claiming, fc.constantFrom(...addresses), (value, text) => {
      const { name } = endOf(text, value, settings);
      expect(labels.has(name) || name.startsWith("unverified:") || name === "unknown" || name === "external").toBe(
        true,
      );
    }),
    seeded(),
  );
});

describe("a name that only a record claims", () => {
  const value = flowValue({
    srcNode: { nodeId: "nONECNTRL", name: "new-1.tail1234.ts.net", addresses: ["100.64.7.7"] },
  });

  test("is marked if there is a directory", () => {
    expect(endOf("100.64.7.7", value, withDirectory()).name).toBe("unverified:new-1");
    expect(reporterName(columnsOf(value), 0, withDirectory())).toBe("unverified:new-1");
  });

  test("is used unchanged without a directory to contradict it", () => {
    expect(endOf("100.64.7.7", value, settingsWith()).name).toBe("new-1");
    expect(reporterName(columnsOf(value), 0, settingsWith())).toBe("new-1");
  });

  test("is not used for another record", () => {
    const settings = settingsWith();
    const ends = new EndBook(settings);
    expect(endOf("100.64.7.7", value, settings, ends).name).toBe("new-1");
    expect(endOf("100.64.7.7", flowValue(), settings, ends).name).toBe("unknown");
    expect(endOf("100.64.7.7", value, settings, ends).name).toBe("new-1");
  });
});

test("a device without a name gives its address no name, but is known all the same", () => {
  const { name, identity } = endOf("100.64.9.9", flowValue(), withDirectory());
  expect(name).toBe("unknown");
  expect(identity).toBeDefined();
});

test("a new directory applies from the next record on", () => {
  const settings = settingsWith();
  const ends = new EndBook(settings);
  const [device] = devices;
  const [text = ""] = device?.addresses ?? [];
  expect(endOf(text, flowValue(), settings, ends).name).toBe("unknown");
  settings.directory.current = directoryOf(devices);
  expect(endOf(text, flowValue(), settings, ends).name).toBe(device?.label as string);
});

describe("claims", () => {
  /** Determines the winning claim in a slow and obvious way. */
  function winner(value: { srcNode: JsonObject; dstNodes: JsonObject[] }, text: string): string | undefined {
    const names = new Map<string, unknown>();
    for (const node of [...value.dstNodes, value.srcNode])
      for (const address of node["addresses"] as string[]) names.set(address, node["name"]);
    return names.get(text) as string | undefined;
  }

  const pool = Array.from({ length: 40 }, (_, place) =>
    place % 2 === 0 ? `100.64.3.${place}` : `fd7a:115c:a1e0::${place}`,
  );
  const node = (of: readonly string[]) =>
    fc.record({ name: fc.constantFrom("a", "b", "c", "d"), addresses: fc.subarray([...of]) });
  const few = fc.record({
    srcNode: node(pool.slice(0, 3)),
    dstNodes: fc.array(node(pool.slice(0, 4)), { maxLength: 3 }),
  });
  const many = fc.record({ srcNode: node(pool), dstNodes: fc.array(node(pool), { minLength: 2, maxLength: 20 }) });

  test("are resolved in favour of the source node, then of later nodes, however many there are", () => {
    const settings = settingsWith();
    const ends = new EndBook(settings);
    fc.assert(
      fc.property(fc.oneof(few, many), (value) => {
        const columns = columnsOf(
          flowValue({ ...value, virtualTraffic: pool.map((text) => connection({ src: endpointOf(text) })) }),
        );
        ends.begin(columns, 0);
        pool.forEach((text, entry) => {
          const { name } = ends.of((columns.ends[entry] as number) & 3, columns.source[entry] as number);
          expect(name).toBe(winner(value, text) ?? "unknown");
        });
      }),
      seeded(150),
    );
  });

  test("of 20,000 addresses are indexed once per record", () => {
    const settings = settingsWith();
    const ends = new EndBook(settings);
    const dstNodes = Array.from({ length: 20 }, (_, place) => ({
      name: `n${place}`,
      addresses: Array.from({ length: 1000 }, (__, host) => `100.65.${place * 4 + (host >> 8)}.${host & 255}`),
    }));
    const columns = columnsOf(
      flowValue({ dstNodes, virtualTraffic: [connection({ src: "100.65.79.231:1", dst: "100.65.0.0:2" })] }),
    );
    ends.begin(columns, 0);
    expect(ends.of(addressIpv4, columns.source[0] as number).name).toBe("n19");
    expect(ends.named(addressIpv4, columns.destination[0] as number).name).toBe("n0");
  });

  test("of two records queried alternately do not mix", () => {
    const settings = settingsWith();
    const ends = new EndBook(settings);
    const named = (name: string): FlowColumns => columnsOf(flowValue({ srcNode: { name, addresses: ["100.64.1.1"] } }));
    const columns = [named("one"), named("two")];
    for (let turn = 0; turn < 6; turn++) {
      const asked = columns[turn % 2] as FlowColumns;
      ends.begin(asked, 0);
      expect(ends.of(addressIpv4, asked.source[0] as number).name).toBe(turn % 2 === 0 ? "one" : "two");
    }
  });
});

test("the same end is the same object, and a flood of long ones resets the cache", () => {
  const settings = settingsWith();
  const ends = new EndBook(settings);
  const value = flowValue({ srcNode: { name: "web-1", addresses: ["100.64.1.1"] } });
  const end = endOf("100.64.1.1", value, settings, ends);
  expect(endOf("100.64.1.1", { ...value, nodeId: "nTWO" }, settings, ends)).toBe(end);
  expect(ends.takeResets()).toBe(0);
  for (let flood = 0; flood < 40; flood++) {
    const addressesOfFlood = Array.from({ length: 16 }, (_, host) => `100.66.${flood}.${host}`);
    const srcNode = { name: "x", user: "u".repeat(20_000), addresses: addressesOfFlood };
    const columns = columnsOf(
      flowValue({ srcNode, virtualTraffic: addressesOfFlood.map((text) => connection({ src: `${text}:1` })) }),
    );
    ends.begin(columns, 0);
    for (let entry = 0; entry < columns.entries; entry++) ends.of(addressIpv4, columns.source[entry] as number);
  }
  expect(ends.takeResets()).toBeGreaterThan(0);
  expect(endOf("100.64.1.1", value, settings, ends)).not.toBe(end);
  expect(endOf("100.64.1.1", value, settings, ends).name).toBe("web-1");
});

test("a flood of unnamed addresses of either family creates no metric ends, with and without a directory", () => {
  const settings = settingsWith();
  const ends = new EndBook(settings);
  for (const directory of [undefined, directoryOf([{ ...webOne, addresses: ["fd7a:115c:a1e0::9"] }])]) {
    settings.directory.current = directory;
    const flood = Array.from({ length: 1000 }, (_, host) => `[2001:db8::${host.toString(16)}]:1`);
    const columns = columnsOf(flowValue({ virtualTraffic: flood.map((src) => connection({ src })) }));
    ends.begin(columns, 0);
    const named = Array.from({ length: 1000 }, (_, entry) => ends.named(addressIpv6, columns.source[entry] as number));
    expect([new Set(named).size, named[0]?.name]).toEqual([1, "external"]);
  }
});

test("an IPv6 address outside the tailnet's range is named after its device", () => {
  const settings = settingsWith();
  settings.directory.current = directoryOf([{ ...webOne, addresses: ["2001:db8::7"] }]);
  const columns = columnsOf(flowValue({ virtualTraffic: [connection({ src: "[2001:db8::7]:1" })] }));
  const ends = new EndBook(settings);
  ends.begin(columns, 0);
  expect(ends.named(addressIpv6, columns.source[0] as number).name).toBe("web-1");
});

test("an address with a zone has its own name, however many others there are", () => {
  const settings = settingsWith({ collapseExternal: false });
  const ends = new EndBook(settings);
  const texts = Array.from({ length: 2500 }, (_, zone) => `fe80::1%eth${zone}`);
  for (const text of [...texts, ...texts.slice(0, 10)])
    expect(endOf(text, flowValue(), settings, ends).name).toBe(text);
});

test("metrics and logs agree on names, except for unnamed addresses, which metrics do not distinguish", () => {
  const settings = settingsWith();
  const ends = new EndBook(settings);
  fc.assert(
    fc.property(claiming, (value) => {
      const columns = columnsOf({
        ...value,
        virtualTraffic: addresses.map((text) => connection({ src: endpointOf(text) })),
      });
      ends.begin(columns, 0);
      addresses.forEach((text, entry) => {
        const [tag, at] = [(columns.ends[entry] as number) & 3, columns.source[entry] as number];
        expect(ends.named(tag, at).name).toBe(ends.of(tag, at).name);
        const shown = tag === addressIpv6 ? ipv6Text(columns.ipv6, at * 4) : ipv4Text(at);
        expect(ends.of(tag, at).address).toEqual(parseAddress(shown) as End["address"]);
        expect(shown).toBe(parseAddress(text)?.text as string);
      });
    }),
    seeded(50),
  );
});

function endpointOf(text: string): string {
  return text.includes(":") ? `[${text}]:1` : `${text}:1`;
}
