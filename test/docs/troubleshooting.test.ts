/** The troubleshooting page quotes what the program writes, so that a search for the text finds the page. */
import { beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { start as startProgram } from "../cli/program.ts";
import { programBinary } from "../support/binary.ts";
import { pages, textOf } from "../support/pages.ts";
import { freePort } from "../support/port.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { timeoutMs } from "../support/wait.ts";

const root = resolve(import.meta.dirname, "../..");
const page = textOf("docs/troubleshooting.md");

/** Each source file, with the expressions of templates replaced by `…`. */
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => withoutExpressions(readFileSync(join(root, "src", name), "utf8")));

/** Replaces `${…}`, also with braces inside it. */
function withoutExpressions(source: string): string {
  let text = source;
  for (let before = ""; before !== text;) {
    before = text;
    text = text
      .replaceAll(/\$\{[^{}]*\}/g, "…")
      .replaceAll(/\{[^{}\n]*\}/g, (braces) => braces.replaceAll(/[{}]/g, ""));
  }
  return text.replaceAll('\\"', '"');
}

/** The texts quoted in the column headed "you see". */
const seen = page
  .split("\n\n")
  .filter((block) => /^\|.*\byou see\b/.test(block))
  .flatMap((table) => {
    const [head = "", , ...rows] = table.split("\n");
    const column = head.split(" | ").findIndex((cell) => /you see/.test(cell));
    return rows.flatMap((row) =>
      [...(row.split(" | ")[column] ?? "").matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text),
    );
  })
  // Names of settings, signals and commands are tested elsewhere, and these answers come from the backend.
  .filter((text) => / /.test(text) && !/^HTTP \d+$|^200 OK$|^send hec$/.test(text));

const start = (directory: string, args: readonly string[]) => startProgram(directory, args, {}, [programBinary()]);
const runToEnd = (directory: string, args: readonly string[]) => start(directory, args).ended;

/** Lines that the program composes from several sources. */
async function producedLines(): Promise<readonly string[]> {
  const directory = temporaryDirectory();
  const folder = (name: string, toml: string): string => {
    const path = join(directory, name);
    mkdirSync(path);
    writeFileSync(join(path, "tailscale2otel.toml"), toml, { mode: 0o600 });
    return path;
  };
  const listen = `127.0.0.1:${await freePort()}`;
  const receiver = `[streaming]\nenabled = true\ntoken = "a-token"\nlisten = "${listen}"\n`;
  const streamed = `${receiver}[collectors]\nflowlogs.source = "stream"\nauditlogs.source = "stream"\n`;
  const running = folder(
    "running",
    `${streamed}[otlp]\nendpoint = "http://127.0.0.1:1"\nmetric_interval = "1s"\n[state]\npath = "state"\n`,
  );
  const program = start(running, ["run", "--set", "log_format=text"]);
  await program.line("keeping state");
  expect((await fetch(`http://${listen}/services/collector/event`, { method: "POST", body: "{}" })).status).toBe(401);
  expect((await runToEnd(running, ["send", "hec"])).code).toBe(0);
  await program.line("log export failing");
  await program.line("metric export failing");
  const elsewhere = folder("elsewhere", `${streamed}[state]\npath = "state"\n[admin]\nlisten = "127.0.0.1:1"\n`);
  const invalid = folder("invalid", '[streaming]\nlisten = ":8o88"\nenabeld = true\n');
  const others = await Promise.all([
    runToEnd(elsewhere, ["run", "--set", "admin.enabled=false"]),
    runToEnd(elsewhere, ["status", "--set", "state.path=nowhere"]),
    runToEnd(elsewhere, ["send", "hec", "--url", "http://127.0.0.1:1/"]),
    runToEnd(invalid, ["run"]),
  ]);
  program.process.kill("SIGTERM");
  return [await program.ended, ...others].flatMap(({ stderr }) => stderr.split("\n"));
}

let produced: readonly string[];
beforeAll(async () => {
  produced = await producedLines();
}, timeoutMs);

test("the tables quote enough texts", () => {
  expect(seen.length).toBeGreaterThan(45);
});

test.each([...new Set(seen)])("%s", (text) => {
  const pieces = text
    .split("…")
    .map((piece) => piece.trim())
    .filter((piece) => piece.length > 2);
  const found = [...sources, ...produced].filter((source) => pieces.every((piece) => source.includes(piece)));
  expect([text, found.length > 0]).toEqual([text, true]);
});

test("other pages link to the troubleshooting page", () => {
  expect(pages.filter((name) => textOf(name).includes("troubleshooting.md")).length).toBeGreaterThan(1);
});
