/**
 * Tests `top` and `demo` of the compiled binary in a real pseudo-terminal: what a person sees, and that the terminal is
 * restored.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { columnsOf } from "../../src/lib/text.ts";
import { programBinary } from "../support/binary.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { auditValue, connection, enveloped, flowValue } from "../support/records.ts";
import { Screen, startOnScreen, type ScreenProgram } from "../support/screen.ts";
import { timeoutMs, until } from "../support/wait.ts";

let directory: string;
let program: RunningProgram;
let shown: ScreenProgram | undefined;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "terminal-test-"));
  program = await startProgram({
    command: [programBinary()],
    directory,
    endpoint: "",
    encoding: "protobuf",
    settings: { TS2OTEL_OTLP__METRIC_INTERVAL: "60s" },
  });
  await send(enveloped(flowValue({ virtualTraffic: [connection({ txBytes: 4_000_000 })], srcNode: hostile })));
  await send(enveloped(auditValue({ actor: { id: "uA", type: "USER", loginName: "ann@example.com\u001b[2J\u202e" } })));
}, timeoutMs);
afterEach(() => shown?.kill("SIGKILL"));
afterAll(async () => {
  await program.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** A node name that tries to take over the terminal. */
const hostile = {
  nodeId: "nONECNTRL",
  name: "\u001b]0;owned\u0007\u001b[999B東京.tail1234.ts.net.",
  addresses: ["100.64.1.1"],
};

async function send(value: object): Promise<void> {
  const headers = { authorization: `Splunk ${program.token}` };
  const { status } = await fetch(program.url, { method: "POST", headers, body: JSON.stringify(value) });
  expect(status).toBe(200);
}

const options = (columns = 80, rows = 24) => ({
  columns,
  rows,
  directory,
  environment: { TS2OTEL_STATE__PATH: join(directory, "state") },
});

function start(args: readonly string[], columns?: number, rows?: number): ScreenProgram {
  shown = startOnScreen([programBinary(), ...args], options(columns, rows));
  return shown;
}

const sees = (seen: ScreenProgram, text: string) => (): boolean => seen.lines().join("\n").includes(text);

/** The screen shows only the last frame. */
function expectNoGhosts(seen: ScreenProgram, columns: number, rows: number): void {
  const fresh = new Screen(columns, rows);
  fresh.write("\u001b[?1049h");
  fresh.write(seen.written.slice(seen.written.lastIndexOf("\u001b[H")));
  expect(seen.lines()).toEqual([...fresh.lines()]);
  expect(seen.lines().filter((line) => columnsOf(line) > columns)).toEqual([]);
}

describe("top", () => {
  test(
    "shows sums, talkers and changes of the running instance, which no record can disturb",
    async () => {
      const top = start(["top"]);
      await until(sees(top, "Latest audit and webhook events"));
      await until(sees(top, "ann@example.com"));
      const lines = top.lines().map((line) => line.trim());
      expect([top.isAlternate, top.hasCursor, top.wraps]).toEqual([true, false, false]);
      expect(lines[0]).toStartWith("tailscale2otel 0.");
      expect(lines).toContainEqual(expect.stringMatching(/^received 2 = accepted 2 \+ duplicate 0/));
      expect(lines).toContainEqual(expect.stringMatching(/^\?\]0;owned\?\?\[999B東京 ↔ unknown +4\.00 MB █+$/));
      expect(lines).toContainEqual(
        expect.stringMatching(/^audit \d\d:\d\d:\d\d ann@example\.com\?\[2J\?: changed the policy file/),
      );
      top.type("q");
      expect(await top.exited).toBe(0);
      expect([top.isAlternate, top.hasCursor, top.wraps]).toEqual([false, true, true]);
      expect(top.lines().join("")).toBe("");
    },
    timeoutMs,
  );

  test(
    "is drawn anew at every size, without ghosts of the one before",
    async () => {
      const top = start(["top", "--interval", "1m"], 120, 40);
      await until(sees(top, "ann@example.com"));
      for (const [columns, rows] of [
        [60, 12],
        [100, 30],
        [61, 24],
        [20, 5],
        [80, 24],
      ] as const) {
        const before = top.written.length;
        top.resize(columns, rows);
        await until(() => top.written.slice(before).split("\u001b[H").length > 1 && top.written.endsWith("\u001b[J"));
        expectNoGhosts(top, columns, rows);
      }
      top.type("\u0003");
      expect(await top.exited).toBe(0);
    },
    timeoutMs,
  );

  test.each([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
    ["SIGINT", 0],
  ] as const)(
    "leaves the terminal as it was at %s",
    async (signal, code) => {
      shown = startOnScreen(["sh", "-c", `"$0" top; echo "ended with $?"; stty -a`, programBinary()], options());
      const top = shown;
      await until(sees(top, "Top talkers"));
      const child = readFileSync(`/proc/${top.pid}/task/${top.pid}/children`, "utf8");
      process.kill(Number(child), signal);
      await top.exited;
      await until(sees(top, "speed"));
      const text = top.lines().join("\n");
      expect(text).toContain(`ended with ${code}`);
      expect(text).toMatch(/(?<!-)icanon/);
      expect(text).toMatch(/ (?<!-)echo /);
      expect([top.isAlternate, top.hasCursor, top.wraps]).toEqual([false, true, true]);
    },
    timeoutMs,
  );

  test(
    "leaves it as it was after an error, and says which",
    async () => {
      let asked = 0;
      const target = `${program.admin}/api/v1/`;
      const foreign = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch(request) {
          if (++asked > 12) return Response.json({ text: "The admin token is required" }, { status: 401 });
          const { pathname, search } = new URL(request.url);
          return fetch(target + pathname.replace("/api/v1/", "") + search);
        },
      });
      const top = start(["top", "--interval", "200ms", "--url", `http://127.0.0.1:${foreign.port}`]);
      await until(() => top.isAlternate);
      expect(await top.exited).toBe(1);
      await foreign.stop(true);
      await until(sees(top, "requires the admin token"));
      expect([top.isAlternate, top.hasCursor, top.wraps]).toEqual([false, true, true]);
    },
    timeoutMs,
  );

  test(
    "in a pipe prints lines, without colors",
    async () => {
      const piped = Bun.spawn([programBinary(), "top", "--interval", "200ms"], {
        cwd: directory,
        env: { PATH: process.env["PATH"] ?? "", HOME: directory, TS2OTEL_STATE__PATH: join(directory, "state") },
        stdout: "pipe",
      });
      let text = "";
      const decoder = new TextDecoder();
      for await (const chunk of piped.stdout) {
        text += decoder.decode(chunk, { stream: true });
        if (text.split("\n").length > 5) break;
      }
      expect(await piped.exited).toBe(0);
      expect(text).toMatch(/^\d+:\d\d \d+ entries\/s; 2 records accepted, 2 delivered, 0 pending; top /m);
      expect(text).not.toContain("\u001b");
    },
    timeoutMs,
  );
});

test.each([
  ["", true],
  ["1", false],
])(
  "tail is in color unless NO_COLOR is set (%p), and ends with Ctrl-C",
  async (noColor, isColored) => {
    const environment = { ...options().environment, NO_COLOR: noColor };
    shown = startOnScreen([programBinary(), "tail", "-n", "1"], { ...options(), environment });
    await until(sees(shown, "ann@example.com?[2J?: changed the policy file"));
    expect(shown.isAlternate).toBe(false);
    expect(shown.written.includes("\u001b[35maudit")).toBe(isColored);
    shown.type("\u0003");
    expect(await shown.exited).toBe(0);
  },
  timeoutMs,
);

test.each(["5ms", "2h", "often"])("top says that an interval of %s is none", async (interval) => {
  const child = Bun.spawn([programBinary(), "top", "--interval", interval], {
    cwd: directory,
    stderr: "pipe",
    env: {},
  });
  expect(await new Response(child.stderr).text()).toBe(
    `tailscale2otel: --interval must be a time from 200ms to 1m, not "${interval}" (see tailscale2otel top --help)\n`,
  );
  expect(await child.exited).toBe(64);
});

describe("demo", () => {
  test(
    "draws on the alternate screen, and leaves the sums behind",
    async () => {
      const demo = start(["demo"], 80, 24);
      await until(() => demo.isAlternate && sees(demo, "webhook")());
      demo.resize(60, 14);
      const before = demo.written.length;
      await until(() => demo.written.slice(before).split("\u001b[H").length > 2 && demo.written.endsWith("\u001b[J"));
      expectNoGhosts(demo, 60, 14);
      demo.type("q");
      expect(await demo.exited).toBe(0);
      expect([demo.isAlternate, demo.hasCursor, demo.wraps]).toEqual([false, true, true]);
      expect(demo.lines().join(" ")).toMatch(/received [\d,]+ = accepted/);
    },
    timeoutMs,
  );

  test(
    "has no colors with NO_COLOR",
    async () => {
      shown = startOnScreen([programBinary(), "demo"], {
        columns: 80,
        rows: 24,
        directory,
        environment: { NO_COLOR: "1" },
      });
      await until(sees(shown, "Top talkers"));
      shown.type("q");
      await shown.exited;
      expect(shown.written.split("\u001b").filter((part) => /^\[[\d;]*m/.test(part))).toEqual([]);
    },
    timeoutMs,
  );
});
