/** The stored copy of the devices, and the webhook's secret without a state directory. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "bun:test";
import type { Device } from "../../src/processors/directory.ts";
import { decodeDevices, directoryDevices, encodeDevices } from "../../src/tailnet/devices.ts";
import { webhookSecretFile } from "../../src/tailnet/webhook.ts";
import { devices } from "../support/devices.ts";

test("devices have canonical addresses, the first label of their name, and sorted tags; one without an id is left out", () => {
  expect(
    directoryDevices([
      {
        nodeId: "nWEB1CNTRL",
        name: "web-1.tail1234.ts.net",
        addresses: ["100.64.1.1", "FD7A:115C:A1E0:0:0:0:1:1", "no address"],
        os: "linux",
        tags: [" tag:web", "tag:prod", "tag:web", ""],
      },
      { nodeId: "", name: "nameless", addresses: ["100.64.1.2"] },
      { nodeId: "n1" },
    ]),
  ).toEqual([
    {
      nodeId: "nWEB1CNTRL",
      label: "web-1",
      addresses: ["100.64.1.1", "fd7a:115c:a1e0::1:1"],
      os: "linux",
      user: "",
      tags: ["tag:prod", "tag:web"],
    },
    { nodeId: "n1", label: "", addresses: [], os: "", user: "", tags: [] },
  ]);
});

describe("the stored copy of the devices", () => {
  test("is read as it was written", () => {
    expect(decodeDevices(encodeDevices(devices))).toEqual(devices);
    expect(decodeDevices(encodeDevices([]))).toEqual([]);
  });

  test("is ignored if it is damaged or of another version", () => {
    const copy = encodeDevices(devices);
    expect(decodeDevices(copy.subarray(0, copy.length - 5))).toBeUndefined();
    expect(decodeDevices(new Uint8Array(8))).toBeUndefined();
    expect(decodeDevices(zstdCompressSync(Buffer.from(JSON.stringify({ version: 2, devices }))))).toBeUndefined();
  });

  test("is refused if it is so large that it would crowd out records", () => {
    const [device] = devices;
    const huge = Array.from({ length: 90_000 }, (_, n) => ({
      ...(device as Device),
      nodeId: randomBytes(50).toString("hex") + n,
    }));
    expect(() => encodeDevices(huge)).toThrow("90000 devices take more than 4194304 bytes");
  });
});

describe("with state in memory", () => {
  test("the webhook's secret is in memory, and no file is written", () => {
    const file = webhookSecretFile(":memory:");
    expect(file.read()).toBeUndefined();
    const webhook = { id: "1", url: "https://hooks.example.com", secret: "tskey-webhook-mine" };
    file.write(webhook);
    expect(file.read()).toEqual(webhook);
    file.remove();
    expect(file.read()).toBeUndefined();
    expect(existsSync(":memory:")).toBe(false);
  });
});
