/** Names: what the directory knows no record can change, whatever it claims. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { directoryOf } from "../../src/processors/directory.ts";
import { claimsOf, deviceAt, nameOf, reporterName } from "../../src/processors/names.ts";
import { parseAddress } from "../../src/records/address.ts";
import type { Address, FlowRecord } from "../../src/records/types.ts";
import { devices } from "../support/devices.ts";
import { seeded } from "../support/random.ts";
import { flowOf, flowValue } from "../support/records.ts";

const withDirectory = { collapseExternal: true, directory: { current: directoryOf(devices) } };
const withoutDirectory = { collapseExternal: true, directory: { current: undefined } };

const addressOf = (text: string): Address => parseAddress(text) as Address;

const addresses = [...devices.flatMap((device) => device.addresses), "100.64.7.7", "192.0.2.1"];

const claim = fc.record({
  nodeId: fc.constantFrom("nONECNTRL", ...devices.map(({ nodeId }) => nodeId)),
  name: fc.oneof(fc.constantFrom("web-1", "db-1.tail1234.ts.net", "unverified:x", "external", ""), fc.string()),
  addresses: fc.subarray(addresses),
  user: fc.constantFrom("mallory@example.com", ""),
  os: fc.constantFrom("plan9", ""),
});

const record: fc.Arbitrary<FlowRecord> = fc
  .record({ srcNode: claim, dstNodes: fc.array(claim, { maxLength: 3 }) })
  .map((nodes) => flowOf(flowValue(nodes)));

test("no claim renames what the directory knows, or gives it a user or a system", () => {
  fc.assert(
    fc.property(record, (claiming) => {
      const claims = claimsOf(claiming);
      for (const device of devices) {
        for (const text of device.addresses) {
          if (device.label !== "") expect(nameOf(addressOf(text), claims, withDirectory)).toBe(device.label);
          expect(deviceAt(addressOf(text), claims, withDirectory)).toBe(device);
        }
      }
    }),
    seeded(),
  );
});

test("with a directory, a name is the directory's, marked, or one of the two words", () => {
  const labels = new Set(devices.map(({ label }) => label));
  fc.assert(
    fc.property(record, fc.constantFrom(...addresses), (claiming, text) => {
      const name = nameOf(addressOf(text), claimsOf(claiming), withDirectory);
      expect(labels.has(name) || name.startsWith("unverified:") || name === "unknown" || name === "external").toBe(
        true,
      );
    }),
    seeded(),
  );
});

describe("a name that only a record claims", () => {
  const claiming = flowOf(
    flowValue({ srcNode: { nodeId: "nONECNTRL", name: "new-1.tail1234.ts.net", addresses: ["100.64.7.7"] } }),
  );
  const named = (options: typeof withDirectory | typeof withoutDirectory): string =>
    nameOf(addressOf("100.64.7.7"), claimsOf(claiming), options);

  test("is marked while there is a directory", () => {
    expect(named(withDirectory)).toBe("unverified:new-1");
    expect(reporterName(claiming, withDirectory)).toBe("unverified:new-1");
  });

  test("is taken as it is where there is none to contradict it", () => {
    expect(named(withoutDirectory)).toBe("new-1");
    expect(reporterName(claiming, withoutDirectory)).toBe("new-1");
  });

  test("is not used for another record", () => {
    expect(nameOf(addressOf("100.64.7.7"), claimsOf(flowOf(flowValue())), withDirectory)).toBe("unknown");
  });
});

test("a device without a name leaves the address what it is, and is no stranger all the same", () => {
  const nothing = claimsOf(flowOf(flowValue()));
  expect(nameOf(addressOf("100.64.9.9"), nothing, withDirectory)).toBe("unknown");
  expect(deviceAt(addressOf("100.64.9.9"), nothing, withDirectory)?.nodeId).toBe("nNAMELESS1CNTRL");
});
