/**
 * Tests two tailnets in the compiled program: the same records in both are counted and delivered separately, across a restart.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { flowEnvelope } from "../support/hec-server.ts";
import { type OtlpSink, startOtlpSink, type SunkPoint } from "../support/otlp-sink.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { timeoutMs, until } from "../support/wait.ts";

const directory = mkdtempSync(join(tmpdir(), "tailnets-"));
let sink: OtlpSink;
let program: RunningProgram;

const settings = {
  TS2OTEL_STREAMING__TOKEN: "",
  TS2OTEL_TAILNET__0__NAME: "acme",
  TS2OTEL_TAILNET__0__STREAMING__TOKEN: "token-acme",
  TS2OTEL_TAILNET__0__RESOURCE__ATTRIBUTES__TEAM: "red",
  TS2OTEL_TAILNET__1__NAME: "globex",
  TS2OTEL_TAILNET__1__STREAMING__TOKEN: "token-globex",
};

const begin = (): Promise<RunningProgram> =>
  startProgram({ command: [programBinary()], directory, endpoint: sink.url, encoding: "protobuf", settings });

beforeAll(async () => {
  programBinary();
  sink = await startOtlpSink();
  program = await begin();
}, timeoutMs);

afterAll(async () => {
  await program.kill();
  await sink.stop();
  rmSync(directory, { recursive: true, force: true });
});

const serials = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => flowEnvelope(from + index)).join("");

async function send(path: string, token: string, body: string): Promise<number> {
  const url = program.url.replace("/services/collector/event", path);
  return (await fetch(url, { method: "POST", headers: { authorization: `Splunk ${token}` }, body })).status;
}

const usual = "/services/collector/event";

/** Log records of a tailnet, and the latest total of its bytes. */
const delivered = (tailnet: string): number =>
  sink.logs.filter(({ attributes }) => attributes["tailscale.tailnet"] === tailnet).length;

function total(metric: string, tailnet: string): number {
  const newest = new Map<string, SunkPoint>();
  for (const point of sink.points)
    if (point.metric === metric && point.attributes["tailscale.tailnet"] === tailnet)
      newest.set(JSON.stringify(point.attributes), point);
  return [...newest.values()].reduce((sum, { value = 0 }) => sum + value, 0);
}

test(
  "each tailnet counts and delivers its own records, also those that the other has too",
  async () => {
    // 30 records for one tailnet, the same and 20 more for the other, and a repetition.
    expect(await send(`/acme${usual}`, "token-acme", serials(0, 30))).toBe(200);
    expect(await send(usual, "token-globex", serials(0, 50))).toBe(200);
    expect(await send(usual, "token-acme", serials(0, 30))).toBe(200);
    expect(await send(`/acme${usual}`, "token-globex", serials(90, 99))).toBe(403);
    await until(() => delivered("acme") >= 30 && delivered("globex") >= 50);
    await until(
      () => total("tailscale.network.flows", "globex") >= 50 && total("tailscale.network.flows", "acme") >= 30,
    );
    expect([delivered("acme"), delivered("globex"), sink.logs.length]).toEqual([30, 50, 80]);
    expect(total("tailscale.network.flows", "acme")).toBe(30);
    expect(total("tailscale.network.flows", "globex")).toBe(50);
    const resources = sink.logs.map(({ attributes, resource }) => [attributes["tailscale.tailnet"], resource["team"]]);
    expect(new Set(resources.map((pair) => JSON.stringify(pair)))).toEqual(
      new Set(['["acme","red"]', '["globex",null]']),
    );
  },
  timeoutMs,
);

test(
  "every point of a tailnet names it, and those of the process name none",
  async () => {
    const unnamed = new Set(
      sink.points.filter(({ attributes }) => attributes["tailscale.tailnet"] === undefined).map(({ metric }) => metric),
    );
    expect(unnamed.has("process.uptime")).toBe(true);
    expect([...unnamed].filter((metric) => /network|ingest|journal|export\./.test(metric))).toEqual([]);
    const page = await (await fetch(`${program.admin}/metrics`)).text();
    const series = page
      .split("\n")
      .flatMap((line) => (line === "" || line.startsWith("#") ? [] : line.replace(/ [^ ]+$/, "")));
    expect(new Set(series).size).toBe(series.length);
    for (const tailnet of ["acme", "globex"])
      expect(series.some((line) => line.includes(`tailscale_network_flows_total{tailscale_tailnet="${tailnet}"`))).toBe(
        true,
      );
    expect(page.match(/^process_uptime_seconds/gm)).toHaveLength(1);
  },
  timeoutMs,
);

test(
  "each has a directory of its own, and a restart keeps both",
  async () => {
    expect(["acme", "globex"].map((name) => existsSync(join(directory, "state", name, "journal.db")))).toEqual([
      true,
      true,
    ]);
    expect(existsSync(join(directory, "state", "journal.db"))).toBe(false);
    expect(await program.stop()).toBe(0);
    program = await begin();
    expect(await send(usual, "token-globex", serials(0, 51))).toBe(200);
    expect(await send(usual, "token-acme", serials(29, 32))).toBe(200);
    await until(() => delivered("globex") >= 51 && delivered("acme") >= 32);
    await until(
      () => total("tailscale.network.flows", "globex") >= 51 && total("tailscale.network.flows", "acme") >= 32,
    );
    expect([delivered("acme"), delivered("globex")]).toEqual([32, 51]);
    expect([total("tailscale.network.flows", "acme"), total("tailscale.network.flows", "globex")]).toEqual([32, 51]);
  },
  timeoutMs,
);

test(
  "the admin listener answers for the tailnet that is named, and lists them if there is none of that name",
  async () => {
    const ask = async (path: string) => (await fetch(`${program.admin}${path}`)).json();
    const statuses = await Promise.all(
      ["", "?tailnet=acme", "?tailnet=globex"].map((of) => ask(`/api/v1/status${of}`)),
    );
    expect(statuses.map(({ statePath }) => statePath)).toEqual(
      ["acme", "acme", "globex"].map((name) => join(directory, "state", name)),
    );
    const unknown = await fetch(`${program.admin}/api/v1/status?tailnet=initech`);
    expect([unknown.status, await unknown.json()]).toEqual([
      404,
      { text: 'there is no tailnet "initech"; there are: acme, globex' },
    ]);
  },
  timeoutMs,
);

test(
  "a kill loses nothing of either, and nothing crosses over afterwards",
  async () => {
    expect(await send(usual, "token-acme", serials(100, 140))).toBe(200);
    expect(await send(usual, "token-globex", serials(100, 120))).toBe(200);
    await program.kill();
    program = await begin();
    await until(
      () => total("tailscale.network.flows", "acme") >= 72 && total("tailscale.network.flows", "globex") >= 71,
    );
    await until(() => delivered("acme") >= 72 && delivered("globex") >= 71);
    expect([total("tailscale.network.flows", "acme"), total("tailscale.network.flows", "globex")]).toEqual([72, 71]);
    expect(await send(`/globex${usual}`, "token-acme", serials(200, 201))).toBe(403);
  },
  timeoutMs,
);
