/** The demo end to end, started as a user starts it (README.md, live-page.md), with its output in a pipe. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const main = join(import.meta.dir, "../../src/main.ts");

let directory: string;
let temporary: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "demo-test-"));
  temporary = join(directory, "tmp");
  mkdirSync(temporary);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function start(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  return Bun.spawn([process.execPath, main, "demo", ...args], {
    cwd: directory,
    env: { PATH: process.env["PATH"], HOME: directory, TMPDIR: temporary, ...environment },
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** The numbers in the two closing lines, by name. */
function sumsIn(output: string): Record<string, number> {
  const [inbound = "", outbound = ""] = output.split("\n").filter((line) => line.includes(" = "));
  const terms = [...`${inbound} ${outbound}`.matchAll(/([a-z-]+) ([\d,]+)/g)];
  return Object.fromEntries(terms.map(([, name = "", digits = ""]) => [name, Number(digits.replaceAll(",", ""))]));
}

/** Checks the sums, which hold at any time: what a slow machine has not delivered by the end is pending. */
function expectEven(sums: Record<string, number>): void {
  const { received = 0, accepted = 0, duplicate = 0, skipped = 0, quarantined = 0 } = sums;
  const { delivered = 0, pending = 0, "dead-lettered": deadLettered = 0 } = sums;
  expect(received).toBeGreaterThan(0);
  expect(accepted + duplicate + skipped + quarantined).toBe(received);
  expect(delivered + pending + deadLettered).toBe(accepted);
}

describe("in a pipe", () => {
  test("explains itself first, then shows flows and changes and, when interrupted, sums that hold, and leaves nothing behind", async () => {
    const demo = start([]);
    const wanted = [
      /^\d+:\d\d [\d,]+ entries\/s; [\d,]+ records accepted, .*; top \S+ ↔ \S+ /m,
      /^\d+:\d\d audit \d\d:\d\d:\d\d \S+: [a-z]+ed .*via [A-Z_]+/m,
      /^\d+:\d\d webhook \d\d:\d\d:\d\d node[A-Z]\w+: visitor-\d+ /m,
    ];
    const decoder = new TextDecoder();
    let output = "";
    let isInterrupted = false;
    for await (const chunk of demo.stdout) {
      output += decoder.decode(chunk, { stream: true });
      if (isInterrupted || !wanted.every((pattern) => pattern.test(output))) continue;
      isInterrupted = true;
      // A terminal signals every process, and the parent process may signal it once more.
      demo.kill("SIGINT");
      demo.kill("SIGTERM");
    }
    const [errors, code] = await Promise.all([new Response(demo.stderr).text(), demo.exited]);
    const lines = output.split("\n");
    expect({ code, errors }).toEqual({ code: 0, errors: "" });
    expect(lines[0]).toMatch(/^Open http:\/\/127\.0\.0\.1:\d+\/ in a browser/);
    expect(lines[1]).toContain("A simulated tailnet of 41 nodes sends its flow logs, audit logs and webhooks");
    expect(lines[2]).toContain("Ctrl-C ends it. Next: add --endpoint");
    expect(output).not.toContain("\u001b");
    const sums = sumsIn(output);
    expectEven(sums);
    // Every outcome of a record has occurred.
    expect(Object.values(sums).every((amount) => amount > 0 || amount === sums["pending"])).toBe(true);
    expect(output).toContain(`${(sums["received"] ?? 0).toLocaleString("en-US")} records, `);
    expect(readdirSync(temporary)).toEqual([]);
  }, 120_000);

  test("opens the page on the usual port or another one, for a tailnet of the requested size", async () => {
    const demos = [start(["--nodes", "3", "--open"]), start(["--nodes", "3", "--open"])];
    const opened = await Promise.all(
      demos.map(async (demo) => {
        const reader = demo.stdout.getReader();
        let output = "";
        while (output.split("\n").length < 4) output += new TextDecoder().decode((await reader.read()).value);
        expect(output).toContain("A simulated tailnet of 3 nodes ");
        const [, address = ""] = /Open (\S+) in a browser/.exec(output) ?? [];
        const page = await fetch(address);
        expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
        return { address, reader };
      }),
    );
    expect(new Set(opened.map(({ address }) => address)).size).toBe(2);
    // The demo ends when its output is no longer read.
    for (const { reader } of opened) await reader.cancel();
    for (const demo of demos) {
      expect(await demo.exited).toBe(0);
      expect(await new Response(demo.stderr).text()).toMatch(
        /^no browser is opened in CI: open \S+ yourself\n$|^there is no desktop to open a browser on: open \S+ yourself\n$|^$/,
      );
    }
  }, 120_000);

  test("ends when its output is no longer read, and leaves nothing behind", async () => {
    const demo = start([]);
    const reader = demo.stdout.getReader();
    await reader.read();
    await reader.cancel();
    expect(await demo.exited).toBe(0);
    expect(readdirSync(temporary)).toEqual([]);
  }, 120_000);
});

describe("with a backend", () => {
  test("metrics and logs arrive there, with the headers from variables", async () => {
    const requests: { readonly path: string; readonly scope: string | null }[] = [];
    const backend = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        await request.arrayBuffer();
        requests.push({ path: new URL(request.url).pathname, scope: request.headers.get("x-scope") });
        return Response.json({});
      },
    });
    const endpoint = `http://127.0.0.1:${backend.port}`;
    const demo = start(["--duration", "3s", "--endpoint", endpoint], { TS2OTEL_OTLP__HEADERS__X_SCOPE: "demo" });
    const [output, code] = await Promise.all([new Response(demo.stdout).text(), demo.exited]);
    await backend.stop(true);
    expect(code).toBe(0);
    expect(output.split("\n")[1]).toContain(endpoint);
    expectEven(sumsIn(output));
    expect(new Set(requests.map(({ path }) => path))).toEqual(new Set(["/v1/logs", "/v1/metrics"]));
    expect(new Set(requests.map(({ scope }) => scope))).toEqual(new Set(["demo"]));
  }, 120_000);

  test("an invalid address is refused with the name of its flag", async () => {
    const demo = start(["--endpoint", "backend"]);
    const [errors, code] = await Promise.all([new Response(demo.stderr).text(), demo.exited]);
    expect(code).toBe(78);
    expect(errors).toContain("--endpoint: ");
    expect(errors).toContain('"backend"');
    expect(errors).not.toContain("--set");
    expect(readdirSync(temporary)).toEqual([]);
  }, 120_000);
});

test("a long past is announced, because it takes a while", async () => {
  const demo = start(["--past", "6m", "--nodes", "2", "--duration", "1s"]);
  const [output, code] = await Promise.all([new Response(demo.stdout).text(), demo.exited]);
  expect(code).toBe(0);
  expect(output).toStartWith("Simulating the last 6m first, before the page opens.\nOpen http://127.0.0.1:");
}, 120_000);

test("the settings of a real installation are ignored", async () => {
  const other = {
    TS2OTEL_OTLP__ENDPOINT: "http://192.0.2.1:4318",
    TS2OTEL_STREAMING__LISTEN: "192.0.2.1:1",
    TS2OTEL_STATE__PATH: "/nowhere",
  };
  const demo = start(["--duration", "2s"], { ...other, TS2OTEL_CONFIG: "/nowhere.toml" });
  const [output, errors, code] = await Promise.all([
    new Response(demo.stdout).text(),
    new Response(demo.stderr).text(),
    demo.exited,
  ]);
  expect({ code, errors }).toEqual({ code: 0, errors: "" });
  expectEven(sumsIn(output));
}, 120_000);
