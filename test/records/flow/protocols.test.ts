/** Tests protocol numbers in records and the names of their transports. */
import { expect, test } from "bun:test";
import { isTransport, protocolOf, transportName } from "../../../src/records/flow/protocols.ts";

test.each([
  [undefined, 0],
  [null, 0],
  ["", 0],
  [0, 0],
  [6, 6],
  ["6", 6],
  ["017", 17],
  ["tcp", 6],
  ["UDP", 17],
  ["ipv6-icmp", 58],
  [255, 255],
] satisfies [unknown, number][])("takes %p as %p", (proto, number) => {
  expect(protocolOf(proto)).toBe(number);
});

test.each([-1, 256, 6.5, 1e308, "-6", "6.0", " 6", "0x6", "q c", "-tcp", "999999999999999999999"])(
  "finds no protocol in %p",
  (proto) => {
    expect(protocolOf(proto)).toBe("invalid_protocol");
  },
);

test("finds every name that Tailscale's own parser accepts", () => {
  const accepted = {
    ah: 51,
    dccp: 33,
    egp: 8,
    esp: 50,
    fragment: 255,
    gre: 47,
    icmp: 1,
    icmpv4: 1,
    icmpv6: 58,
    igmp: 2,
    igp: 9,
    "ip-in-ip": 4,
    ipv4: 4,
    "ipv6-icmp": 58,
    ospf: 89,
    sctp: 132,
    tcp: 6,
    tsmp: 99,
    udp: 17,
  };
  expect(Object.keys(accepted)).toHaveLength(19);
  for (const [name, number] of Object.entries(accepted)) {
    expect(protocolOf(name)).toBe(number);
    expect(protocolOf(name.toUpperCase())).toBe(number);
  }
});

test.each(["quic", "QUIC", "constructor", "mptcp.v2"])("keeps the unknown name %p as text", (proto) => {
  expect(protocolOf(proto)).toEqual({ name: proto.toLowerCase() });
});

test.each([[true], [[6]], [{ number: 6 }]])("finds an invalid entry in the type of %p", (proto) => {
  expect(protocolOf(proto)).toBe("invalid_entry");
});

test("names the published transports, and uses numbers for the rest", () => {
  const names = {
    0: "unknown",
    1: "icmp",
    2: "igmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    89: "ospf",
    99: "tsmp",
    132: "sctp",
    254: "254",
    255: "fragment",
  };
  expect(Object.fromEntries(Object.keys(names).map((number) => [number, transportName(Number(number))]))).toEqual(
    names,
  );
});

test("names of transports are distinguished from names of services", () => {
  for (let protocol = 0; protocol < 256; protocol++) expect(isTransport(transportName(protocol))).toBe(true);
  expect(["https", "ssh", "domain", "constructor", ""].filter(isTransport)).toEqual([]);
});
