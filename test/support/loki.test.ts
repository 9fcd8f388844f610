/** Tests that the Loki stand-in rejects what Loki rejects, in its words, and stores the rest of such a request. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Loki, startLoki } from "./loki.ts";

let loki: Loki;

afterEach(() => loki.stop());

interface Line {
  readonly ago?: number;
  readonly body?: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

/** Sends log records of one instance. `ago`: age in milliseconds. */
async function send(lines: readonly Line[], headers: Readonly<Record<string, string>> = {}) {
  const attributesOf = (attributes: Readonly<Record<string, string>>) =>
    Object.entries(attributes).map(([key, stringValue]) => ({ key, value: { stringValue } }));
  const logRecords = lines.map(({ ago = 0, body = "line", attributes = {} }) => ({
    timeUnixNano: `${Date.now() - ago}000000`,
    body: { stringValue: body },
    attributes: attributesOf(attributes),
  }));
  const resource = { attributes: attributesOf({ "service.name": "tailscale2otel", "host.name": "edge" }) };
  const response = await fetch(`${loki.endpoint}/v1/logs`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ resourceLogs: [{ resource, scopeLogs: [{ scope: {}, logRecords }] }] }),
  });
  return { status: response.status, text: await response.text() };
}

const hours = 3_600_000;
const all = '{service_name="tailscale2otel"}';

test("makes labels of some resource attributes, and metadata of everything else", async () => {
  loki = startLoki();
  expect(await send([{ attributes: { "tailscale.path": "direct" } }])).toEqual({ status: 204, text: "" });
  const labels = { service_name: "tailscale2otel", host_name: "edge", tailscale_path: "direct" };
  expect(loki.query(`${all} | tailscale_path="direct"`)).toMatchObject([{ labels, line: "line" }]);
  expect(loki.query(`${all} | tailscale_path="derp"`)).toEqual([]);
});

test("keeps an hour of disorder per stream, and the same entry once", async () => {
  loki = startLoki();
  const late = { ago: 0.9 * hours, body: "late" };
  expect(await send([{}, late])).toMatchObject({ status: 204 });
  const { status, text } = await send([{ ago: 2 * hours, body: "too late" }, { body: "in time" }]);
  expect(status).toBe(400);
  expect(text).toMatch(
    /ignored, reason: 'entry too far behind, .*total ignored: 1 out of 2 for stream: \{service_name=/s,
  );
  expect(loki.query(all).map(({ line }) => line)).toEqual(["line", "late", "in time"]);
});

describe("refuses", () => {
  test.each<[string, Line, RegExp]>([
    ["what is older than a week", { ago: 169 * hours }, /has timestamp too old: .*oldest acceptable timestamp is: /],
    ["what is in the future", { ago: -0.2 * hours }, /has timestamp too new: /],
    ["a long line", { body: "x".repeat(256 * 1024 + 1) }, /^Max entry size '262144' bytes exceeded/],
    ["much metadata", { attributes: { text: "x".repeat(65_536) } }, /structured metadata too large: .*limit: '65536'/],
    [
      "many pieces of metadata",
      { attributes: Object.fromEntries(Array.from({ length: 128 }, (_, index) => [`a${index}`, "b"])) },
      /too many structured metadata labels: '130', limit: '128'/,
    ],
  ])("%s", async (_, line, words) => {
    loki = startLoki();
    const { status, text } = await send([line]);
    expect(status).toBe(400);
    expect(text).toMatch(words);
    expect(loki.query(all)).toEqual([]);
  });

  test("more than a burst with 429", async () => {
    loki = startLoki();
    const body = "x".repeat(256 * 1024);
    const { status, text } = await send(Array.from({ length: 24 }, () => ({ body })));
    expect(status).toBe(429);
    expect(text).toContain("Ingestion rate limit exceeded");
  });

  test("a request without a tenant, if it has several", async () => {
    loki = startLoki({ authEnabled: true });
    expect(await send([{}])).toEqual({ status: 401, text: "no org id\n" });
    expect(await send([{}], { "x-scope-orgid": "tenant-1" })).toMatchObject({ status: 204 });
  });
});
