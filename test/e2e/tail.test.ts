/**
 * Tests `tail` against a running instance: what it shows, its filters, how long it runs, and what happens when the instance
 * goes away.
 */
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { AcceptedEvent } from "../../src/admin/events/index.ts";
import { auditValue, connection, enveloped, flowValue } from "../support/records.ts";
import { blocksBelow } from "../support/pages.ts";
import { programBinary } from "../support/binary.ts";
import { timeoutMs, until } from "../support/wait.ts";
import { emptyStatus } from "../support/status.ts";
import { type Program, start, temporaryDirectory } from "../cli/program.ts";
import { configure } from "../cli/running.ts";

const binary = [programBinary()] as const;
const parent = temporaryDirectory();
const secret = "tskey-webhook-test";

interface Instance {
  readonly program: Program;
  readonly stream: string;
  readonly webhook: string;
}

async function run(directory: string): Promise<Instance> {
  const program = start(directory, ["run"], {}, binary);
  const { stream, webhook } = JSON.parse(await program.line('"ready"')) as Pick<Instance, "stream" | "webhook">;
  return { program, stream, webhook };
}

async function send({ stream }: Instance, ...values: readonly object[]): Promise<void> {
  const headers = { authorization: "Splunk a-token" };
  const body = values.map((value) => JSON.stringify(value)).join("\n");
  expect((await fetch(`${stream}/services/collector/event`, { method: "POST", headers, body })).status).toBe(200);
}

async function sendEvent({ webhook }: Instance, event: object): Promise<void> {
  const body = JSON.stringify([event]);
  const at = Math.floor(Date.now() / 1000);
  const signature = createHmac("sha256", secret).update(`${at}.${body}`).digest("hex");
  const headers = { "tailscale-webhook-signature": `t=${at},v1=${signature}` };
  expect((await fetch(`${webhook}/tailscale/webhook`, { method: "POST", headers, body })).status).toBe(200);
}

interface Tail {
  readonly process: Program["process"];
  readonly ended: Program["ended"];
  readonly out: () => string;
  readonly err: () => string;
}

function tail(directory: string, ...args: readonly string[]): Tail {
  const { process: child, ended } = start(directory, ["tail", ...args], {}, binary);
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: string) => (out += chunk));
  child.stderr.on("data", (chunk: string) => (err += chunk));
  return { process: child, ended, out: () => out, err: () => err };
}

async function stopped({
  process: child,
  ended,
}: Tail): Promise<{ code: number | null; stdout: string; stderr: string }> {
  child.kill("SIGINT");
  return ended;
}

const flow = (port: number, members: object = {}) =>
  enveloped(
    flowValue({ nodeId: `n${port}CNTRL`, virtualTraffic: [connection({ dst: `100.64.1.2:${port}` })], ...members }),
  );

const webhooks = `
[webhook]
enabled = true
listen = "127.0.0.1:0"
secret = "${secret}"
`;

let directory: string;
let instance: Instance;

beforeAll(async () => {
  directory = configure(parent, "shared", "", webhooks);
  instance = await run(directory);
  await send(
    instance,
    flow(443),
    flow(5432),
    enveloped(auditValue({ old: "tag:a", new: "tag:b", target: node("web") })),
  );
  await sendEvent(instance, {
    timestamp: "2026-11-02T09:15:09Z",
    version: 1,
    type: "nodeNeedsApproval",
    tailnet: "example.com",
    message: "Node laptop needs approval",
    data: { nodeID: "nL", deviceName: "laptop.tail1234.ts.net", actor: "bob@example.com" },
  });
}, timeoutMs);
afterAll(() => instance.program.process.kill("SIGKILL"));

function node(name: string): object {
  return { id: "nWEBCNTRL", name, type: "NODE", property: "ACL_TAGS" };
}

/** The output up to the line that contains `last`. */
async function shownBy(args: readonly string[], last: string): Promise<readonly string[]> {
  const shown = tail(directory, ...args);
  await until(() => shown.out().includes(last));
  const { code, stdout, stderr } = await stopped(shown);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.split("\n").slice(0, -1);
}

const lines = {
  https: "2026-11-02T09:15:00Z flow    100.64.1.1 → 100.64.1.2:443  tcp https  tx 300 B, rx 200 B  virtual",
  postgres: "2026-11-02T09:15:00Z flow    100.64.1.1 → 100.64.1.2:5432  tcp postgresql  tx 300 B, rx 200 B  virtual",
  audit: "2026-11-02T09:15:08Z audit   alice@example.com: changed ACL tags web via ADMIN_CONSOLE: tag:a → tag:b",
  webhook: "2026-11-02T09:15:09Z webhook nodeNeedsApproval: Node laptop needs approval (by bob@example.com)",
};
const all = Object.values(lines);

describe("shows", () => {
  test.each<[string, readonly string[], readonly string[]]>([
    ["the last ten events", [], all],
    ["the last two", ["--lines", "2"], [lines.audit, lines.webhook]],
    ["all that was received since a time", ["--since", "1h"], all],
    ["one type", ["--type", "audit"], [lines.audit]],
    ["two types with a comma", ["--type", "audit,webhook"], [lines.audit, lines.webhook]],
    ["two types by two flags", ["--type", "flow", "--type", "audit"], [lines.https, lines.postgres, lines.audit]],
    ["a node by its address", ["--node", "100.64.1.2"], [lines.https, lines.postgres]],
    ["a node by its name, in any case", ["--node", "WEB"], [lines.audit]],
    ["nodes by patterns", ["--node", "w?b", "--node", "lap*"], [lines.audit, lines.webhook]],
    ["what is a warning", ["--severity", "Warn"], [lines.webhook]],
    ["what has all of some words", ["--text", "alice TAG:B"], [lines.audit]],
    ["what holds a text", ["--grep", "POSTGRES"], [lines.postgres]],
    ["what holds a text in an attribute", ["--grep", "n443CNTRL"], [lines.https]],
    ["what matches a regular expression", ["--grep", "/:(443|1) |approval/"], [lines.https, lines.webhook]],
  ])(
    "%s: %#",
    async (_, args, expected) => {
      expect(await shownBy(args, expected.at(-1) ?? "")).toEqual([...expected]);
    },
    timeoutMs,
  );

  test(
    "with --json one event per line, as the API gives it",
    async () => {
      const shown = (await shownBy(["--json"], "nodeNeedsApproval")).map((line) => JSON.parse(line) as AcceptedEvent);
      expect(shown.map(({ type }) => type)).toEqual(["flow", "flow", "audit", "webhook"]);
      expect(Object.keys(shown[0] ?? {})).toEqual(
        "id type source acceptedAt time observedTime name severity body attributes".split(" "),
      );
      expect(shown[0]?.attributes["destination.port"]).toBe(443);
    },
    timeoutMs,
  );
});

/** True once the shell has become the program and the program handles Ctrl-C. */
function catchesInterrupts(pid: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const [, caught = "0"] = /^SigCgt:\s*(\w+)/m.exec(status) ?? [];
  return !/^Name:\s*(ba|da)?sh$/m.test(status) && (BigInt(`0x${caught}`) & 2n) !== 0n;
}

describe("the examples of the operations page run", () => {
  const examples = blocksBelow("docs/operations.md", "## Watching").flatMap((block) => block.trim().split("\n"));

  test.each(examples)(
    "%s",
    async (line) => {
      const child = spawn("sh", ["-c", `tailscale2otel() { exec "$BINARY" "$@"; }; ${line}`], {
        cwd: directory,
        env: { PATH: process.env["PATH"], HOME: directory, BINARY: binary[0] },
        stdio: ["ignore", "ignore", "pipe"],
      });
      let errors = "";
      child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
      const ended = new Promise((resolve) => child.on("close", resolve));
      await until(() => catchesInterrupts(child.pid ?? 0));
      child.kill("SIGINT");
      expect([await ended, errors]).toEqual([0, ""]);
    },
    timeoutMs,
  );
});

describe("says what is wrong with", () => {
  test.each<[string, readonly string[], string]>([
    ["a type", ["--type", "logs"], '--type must be one of flow, audit, webhook, not "logs"'],
    ["a severity", ["--severity", "error"], '--severity must be info or warn, not "error"'],
    ["too long a text", ["--text", "a".repeat(257)], "--text can have at most 256 characters"],
    ["a number", ["--lines", "many"], '--lines must be a whole number from 0 to 2000, not "many"'],
    ["a time", ["--since", "yesterday"], "--since must be a duration such as 8h or a time such as"],
    ["two beginnings", ["--since", "1h", "--lines", "3"], "--since and --lines cannot be combined"],
    ["a regular expression", ["--grep", "/(/"], "--grep is not a valid regular expression: "],
  ])(
    "%s",
    async (_, args, message) => {
      const { code, stderr } = await start(directory, ["tail", ...args], {}, binary).ended;
      expect(code).toBe(64);
      expect(stderr).toContain(message);
    },
    timeoutMs,
  );

  test(
    "an instance that does not run",
    async () => {
      const empty = configure(parent, "empty", "");
      const { code, stderr } = await start(empty, ["tail"], { TS2OTEL_ADMIN__LISTEN: "127.0.0.1:1" }, binary).ended;
      expect(code).toBe(1);
      expect(stderr).toContain("no instance answers (connection refused by 127.0.0.1:1). Start the instance");
    },
    timeoutMs,
  );
});

test(
  "goes on where it was when the instance is killed and starts again, and says so",
  async () => {
    const own = configure(parent, "restarted", "", webhooks);
    const first = await run(own);
    const shown = tail(own, "--json");
    await send(first, flow(1));
    const hasLines = (amount: number) => (): boolean => shown.out().split("\n").length === amount + 1;
    await until(hasLines(1));
    first.program.process.kill("SIGKILL");
    await until(() => shown.err().includes("waiting for it"));
    const second = await run(own);
    await send(second, flow(2), flow(3));
    await until(hasLines(3));
    await send(second, flow(4));
    await until(hasLines(4));
    const { stderr, stdout, code } = await stopped(shown);
    second.program.process.kill("SIGKILL");
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^tailscale2otel: the instance has stopped answering \(.*\); waiting for it\ntailscale2otel: the instance answers again at http:\S+\n$/,
    );
    const ports = stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as AcceptedEvent).attributes["destination.port"]);
    expect(ports).toEqual([1, 2, 3, 4]);
  },
  timeoutMs,
);

test(
  "does not go on with another instance, although that answers at the configured address",
  async () => {
    let asked = 0;
    const foreign = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) =>
        url.endsWith("/status")
          ? Response.json({ ...emptyStatus, statePath: `elsewhere ${++asked}` })
          : Response.json({ events: [], next: "a.1.0.0", isEnd: true, behindSeconds: 0 }),
    });
    const listen = `127.0.0.1:${foreign.port}`;
    const own = configure(parent, "own", "", webhooks);
    const file = join(own, "tailscale2otel.toml");
    const settings = readFileSync(file, "utf8");
    // Without a token, because with one, that address would not be queried.
    writeFileSync(
      file,
      settings.replace(/(?<=\[admin\]\n)listen = .*\ntoken = .*/, `listen = ${JSON.stringify(listen)}`),
    );
    const runAt = async (place: string, admin: string): Promise<Instance> => {
      const program = start(place, ["run"], { TS2OTEL_ADMIN__LISTEN: admin }, binary);
      return { program, ...(JSON.parse(await program.line('"ready"')) as Omit<Instance, "program">) };
    };
    const first = await runAt(own, "127.0.0.1:0");
    const shown = start(own, ["tail"], {}, binary);
    let text = "";
    shown.process.stdout.on("data", (chunk: string) => (text += chunk));
    await send(first, flow(1));
    await until(() => text.includes(":1 "));
    first.program.process.kill("SIGKILL");
    await until(() => asked > 0);
    const second = await runAt(own, "127.0.0.1:0");
    await send(second, flow(2));
    await until(() => text.includes(":2 "));
    second.program.process.kill("SIGKILL");
    await foreign.stop(true);
    shown.process.kill("SIGINT");
    expect((await shown.ended).stderr).not.toContain("gap");
  },
  timeoutMs,
);

test(
  "says that the journal is another one, and begins with its first event",
  async () => {
    const own = configure(parent, "memory", "", webhooks).replaceAll("\n", "");
    const memory = { TS2OTEL_STATE__PATH: ":memory:", TS2OTEL_ADMIN__LISTEN: "127.0.0.1:0" };
    const begin = async (listen: string): Promise<Instance & { admin: string }> => {
      const program = start(own, ["run"], { ...memory, TS2OTEL_ADMIN__LISTEN: listen }, binary);
      return {
        program,
        ...(JSON.parse(await program.line('"ready"')) as Omit<Instance, "program"> & { admin: string }),
      };
    };
    const first = await begin("127.0.0.1:0");
    const shown = tail(own, "--url", first.admin, "--lines", "5");
    await send(first, flow(1));
    await until(() => shown.out().includes(":1 "));
    first.program.process.kill("SIGKILL");
    await first.program.ended;
    const second = await begin(new URL(first.admin).host);
    await send(second, flow(2));
    await until(() => shown.out().includes(":2 "));
    second.program.process.kill("SIGKILL");
    const { stderr } = await stopped(shown);
    expect(stderr).toContain("gap: the instance has another journal now");
  },
  timeoutMs,
);

test(
  "says what is missing, that it is behind, and that the instance is too busy",
  async () => {
    const page = { events: [], next: "a.1.0.0", isEnd: true, behindSeconds: 0 };
    const answers: (() => Response)[] = [
      () => Response.json({ ...page, oldest: "2126-11-02T09:15:00.000Z" }),
      () => Response.json({ ...page, gap: { reason: "deleted", rows: 3 } }),
      () => Response.json({ ...page, gap: { reason: "damaged", rows: 1 } }),
      () => Response.json({ ...page, isEnd: false, behindSeconds: 35 }),
      () => Response.json({ ...page, isEnd: false, behindSeconds: 36 }),
      () => Response.json(page),
      () => Response.json({ text: "64 requests are waiting for events already" }, { status: 503 }),
      () => Response.json(page),
    ];
    const instanceLike = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch({ url }) {
        if (url.endsWith("/status")) return Response.json({ ...emptyStatus, statePath: "one" });
        const answer = answers.shift();
        if (answer !== undefined) return answer();
        shown.process.kill("SIGINT");
        return Response.json(page);
      },
    });
    const shown = tail(directory, "--since", "1h", "--url", `http://127.0.0.1:${instanceLike.port}`);
    const { code, stderr } = await shown.ended;
    await instanceLike.stop(true);
    expect(code).toBe(0);
    expect(stderr.replaceAll("tailscale2otel: ", "").replace(/:\d+$/m, "")).toMatchInlineSnapshot(`
      "the journal goes back to 2126-11-02T09:15:00.000Z, not further
      gap: 3 rows of the journal had been deleted before they were shown (state.retention, state.max_bytes or quarantine purge)
      gap: 1 row of the journal cannot be read
      35 seconds behind: more is accepted than can be shown; show less with --type or --node
      up to date again
      64 requests are waiting for events already; waiting for it
      the instance answers again at http://127.0.0.1
      "
    `);
  },
  timeoutMs,
);

test(
  "ends when nobody reads on",
  async () => {
    const reading = spawn("sh", ["-c", '"$0" "$@" | head -n 2; echo "ended"', binary[0], "tail", "--since", "1h"], {
      cwd: directory,
      env: { PATH: process.env["PATH"], HOME: directory },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    reading.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    const ended = new Promise((resolve) => reading.on("close", resolve));
    let port = 10_000;
    // The end of the reader is noticed only with the next line.
    await until(async () => {
      await send(instance, flow(port++));
      return text.includes("ended");
    });
    await ended;
    expect(text.split("\n")).toEqual([lines.https, lines.postgres, "ended", ""]);
  },
  timeoutMs,
);

test(
  "nothing in a record steers the terminal, and what is long is cut",
  async () => {
    const name = `\u001b]0;owned\u0007\u202e${"x".repeat(1_000_000)}\nforged`;
    await send(
      instance,
      enveloped(auditValue({ eventGroupID: "hostile", actor: { loginName: name }, target: node(name), new: name })),
    );
    const [text = "", ...others] = await shownBy(["--type", "audit", "--lines", "1"], "audit");
    expect(others).toEqual([]);
    expect(text).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(text.length).toBeLessThan(500);
    const [json = ""] = await shownBy(["--type", "audit", "--lines", "1", "--json"], "audit");
    expect(json).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect((JSON.parse(json) as AcceptedEvent).attributes["user.name"]).toStartWith("\u001b]0;owned\u0007\u202exxx");
  },
  timeoutMs,
);
