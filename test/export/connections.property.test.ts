/** Connections written straight into a request against the same events written the general way: the same bytes, whatever the records hold. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { LogEvent } from "../../src/catalogue/log-event.ts";
import { createLogEncoder } from "../../src/export/log-encoder.ts";
import { resourceOf, scopeOf } from "../../src/export/resource.ts";
import { describe } from "../../src/processors/index.ts";
import { flowOf, flowValue } from "../support/records.ts";
import { seeded } from "../support/random.ts";

const address = fc.oneof(
  fc.ipV4(),
  fc.constantFrom("100.64.1.1", "100.64.1.2", "127.3.3.40", "0.0.0.0", "255.255.255.255"),
);
const address6 = fc.oneof(fc.ipV6(), fc.constantFrom("fd7a:115c:a1e0::1", "fe80::1%eth0", "::ffff:192.0.2.1"));
const port = fc.oneof(fc.nat(65_535), fc.constantFrom(0, 9, 10, 99, 443, 999, 1000, 65_535));
const endpoint = fc.oneof(
  fc.tuple(address, port).map(([text, number]) => `${text}:${number}`),
  fc.tuple(address6, port).map(([text, number]) => `[${text}]:${number}`),
  address,
  fc.constantFrom("", undefined, "100.64.1.1:00443"),
);
const counter = fc.oneof(
  fc.nat(2_000_000),
  fc.maxSafeNat(),
  fc.constantFrom(undefined, 0, 9, 10, 2 ** 31, 2 ** 32 - 1, 2 ** 32),
);
const entry = fc.record({
  proto: fc.constantFrom(undefined, 0, 1, 6, 17, 58, 99, 253),
  src: endpoint,
  dst: endpoint,
  txBytes: counter,
  rxBytes: counter,
  txPkts: counter,
  rxPkts: counter,
});
const text = fc.oneof(
  fc.constantFrom("", "web-1.tail1234.ts.net", '"\\\n', "höst", "😀"),
  fc.string({ maxLength: 30 }),
);
const node = fc.record({
  nodeId: fc.constantFrom("nONECNTRL", "nTWOCNTRL", ""),
  name: text,
  addresses: fc.array(fc.oneof(address, address6), { maxLength: 3 }),
  os: text,
  user: text,
  tags: fc.array(text, { maxLength: 3 }),
});
const entries = fc.array(entry, { maxLength: 5 });
const instant = fc.constantFrom("2026-11-02T09:15:00Z", "2026-11-02T09:15:00.000000001Z", "1969-12-31T23:59:59Z");
const record = fc
  .record({
    srcNode: node,
    dstNodes: fc.array(node, { maxLength: 3 }),
    start: instant,
    logged: instant,
    entries,
    physical: entries,
  })
  .map(({ entries: virtualTraffic, physical: physicalTraffic, ...members }) =>
    flowOf(flowValue({ ...members, end: "2026-11-02T09:15:05Z", virtualTraffic, physicalTraffic })),
  );

/** The same event with nothing left to be made when somebody asks: the general writer takes it. */
function plain({ name, severity, time, observedTime, body, shared, attributes }: LogEvent): LogEvent {
  return { name, severity, time, observedTime, body, shared, attributes };
}

test.each(["json", "protobuf"] as const)("connections in %s are the bytes of the general way", (encoding) => {
  const resource = resourceOf({ "service.name": "tailscale2otel" });
  const [fast, general] = [1, 2].map(() => createLogEncoder(resource, scopeOf("1.2.3"))) as [
    ReturnType<typeof createLogEncoder>,
    ReturnType<typeof createLogEncoder>,
  ];
  let written = 0;
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 4 }), fc.boolean(), fc.nat(20), (records, mixed, cut) => {
      const options = {
        collapseExternal: mixed,
        flowLogMode: "per_connection",
        tailnet: "example.com",
        uidKey: undefined,
      } as const;
      const events = records.flatMap((found) => describe(found, options, 1_793_610_905_000)).slice(cut);
      if (events.length === 0) return;
      written += events.length;
      const expected = Buffer.from(general(events.map(plain), encoding)).toString("latin1");
      expect(Buffer.from(fast(events, encoding)).toString("latin1")).toBe(expected);
      const rest = events.slice(events.length >> 1);
      expect(Buffer.from(fast(rest, encoding)).toString("latin1")).toBe(
        Buffer.from(general(rest.map(plain), encoding)).toString("latin1"),
      );
      const between = events.map((event, place) => (place % 3 === 1 ? plain(event) : event));
      expect(Buffer.from(fast(between, encoding)).toString("latin1")).toBe(expected);
    }),
    seeded(400),
  );
  expect(written).toBeGreaterThan(500);
});
