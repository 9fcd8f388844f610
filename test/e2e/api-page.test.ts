/** Tests `docs/api.md` against the program: it lists every path, its commands run, and its parameters exist. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { programBinary } from "../support/binary.ts";
import { blocksBelow } from "../support/pages.ts";
import { auditValue, enveloped, flowValue } from "../support/records.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { timeoutMs } from "../support/wait.ts";

const root = resolve(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/api.md"), "utf8");

let directory: string;
let program: RunningProgram;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "api-page-test-"));
  const command = [programBinary()];
  program = await startProgram({ command, directory, endpoint: "", encoding: "protobuf" });
  const body = [enveloped(flowValue()), enveloped(auditValue())].map((value) => JSON.stringify(value)).join("\n");
  const headers = { authorization: `Splunk ${program.token}` };
  expect((await fetch(program.url, { method: "POST", headers, body })).status).toBe(200);
}, timeoutMs);
afterAll(async () => {
  await program.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Method and path of each row of the first table. */
const documented = [...page.matchAll(/^\| (`\/[^|]*)\| (GET|POST|DELETE) /gm)].flatMap(([, paths = "", method]) =>
  [...paths.matchAll(/`([^`]+)`/g)].map(([, path]) => `${method} ${path}`),
);

test("has every path of the program, and no other", () => {
  const source = ["index.ts", "routes.ts"]
    .map((name) => readFileSync(join(root, "src/admin", name), "utf8"))
    .join("\n");
  const methodOf: Readonly<Record<string, string>> = { get: "GET", view: "GET", post: "POST", act: "POST" };
  const short = [...source.matchAll(/\b(get|view|post|act)\("(\/[^"]+)"/g)].map(
    ([, form = "", path]) => `${methodOf[form]} ${path}`,
  );
  const pageSource = readFileSync(join(root, "src/admin/page/index.ts"), "utf8");
  const long = [...`${source}${pageSource}`.matchAll(/path: "(\/[^"]*)",\s*methods: \{((?:(?!path: )[^])*)/g)].flatMap(
    ([, path, methods = ""]) =>
      [...methods.matchAll(/\b(GET|POST|DELETE): /g)].map(([, method]) => `${method} ${path}`),
  );
  expect(documented.toSorted()).toEqual([...new Set([...short, ...long])].toSorted());
});

describe("its path", () => {
  test.each(documented)("%s is there", async (route) => {
    const [method, path] = route.split(" ") as [string, string];
    const headers = { "content-type": "application/json" };
    const answer = await fetch(program.admin + path, { method, headers, ...(method === "POST" && { body: "{}" }) });
    expect([404, 405, 500]).not.toContain(answer.status);
  });
});

test("its members of an overview and of an event are those that are answered", async () => {
  const overview = (await (await fetch(`${program.admin}/api/v1/overview`)).json()) as object;
  const { events } = (await (await fetch(`${program.admin}/api/v1/events?since=0&limit=1`)).json()) as {
    events: object[];
  };
  const membersBelow = (heading: string, after: string): string[] => {
    const section = page.slice(page.indexOf(after, page.indexOf(heading)));
    const [table = ""] = /\| member[^]*?\n\n/.exec(section) ?? [];
    return [...table.matchAll(/^\| (`.*?) +\|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name),
    );
  };
  const always = membersBelow("## Status and overview", "is what `top` draws").filter(
    (name) => name !== "pendingSince",
  );
  expect(Object.keys(overview).toSorted()).toEqual(always.toSorted());
  expect(Object.keys(events[0] ?? {}).toSorted()).toEqual(membersBelow("## Events", "An event is").toSorted());
});

test("its parameters of events are known", async () => {
  const [table = ""] = /\| parameter [^]*?\n\n/.exec(page) ?? [];
  const names = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, name = ""]) => name);
  expect(names).toEqual([
    "from",
    "since",
    "last",
    "before",
    "until",
    "types",
    "nodes",
    "severity",
    "text",
    "limit",
    "wait",
  ]);
  for (const name of names) {
    const { text = "" } = (await (await fetch(`${program.admin}/api/v1/events?${name}=%00`)).json()) as {
      text?: string;
    };
    expect([name, text]).toEqual([name, expect.not.stringContaining("is unknown")]);
  }
});

describe("its commands run", () => {
  const commands = ["## Access", "## Health", "## Events", "## Quarantine and replay"].flatMap((heading) =>
    blocksBelow("docs/api.md", heading).map((block) => [heading, block] as const),
  );

  test.each(commands)(
    "%s: %s",
    async (_, block) => {
      const script = `set -e\n${block.replaceAll("http://127.0.0.1:9091", program.admin)}`;
      const child = Bun.spawn(["sh", "-c", script], {
        env: { ...process.env, ADMIN_TOKEN: "not-required" },
        stdout: "pipe",
      });
      const output = await new Response(child.stdout).text();
      expect(await child.exited).toBe(0);
      for (const answer of output.replaceAll("}{", "}\n{").trim().split("\n"))
        expect(JSON.parse(answer)).not.toHaveProperty("text");
      expect(output).not.toBe("");
    },
    timeoutMs,
  );

  test("## Live: the first message", async () => {
    const [block = ""] = blocksBelow("docs/api.md", "## Live");
    const child = Bun.spawn(["sh", "-c", block.replaceAll("http://127.0.0.1:9091", program.admin)], { stdout: "pipe" });
    const [retry, , event, data = ""] = (await new Response(child.stdout).text()).split("\n");
    expect([retry, event]).toEqual(["retry: 2000", "event: overview"]);
    expect(JSON.parse(data.replace("data: ", ""))).toHaveProperty("conservation");
  });

  test("all of them", () => {
    expect(commands.length + 1).toBe([...page.matchAll(/^```sh$/gm)].length);
  });
});
