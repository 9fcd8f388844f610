/** The dashboards' queries for Loki, run against a stand-in that has received the logs of a demo. */
import { afterEach, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { programBinary } from "../support/binary.ts";
import { type Loki, startLoki } from "../support/loki.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { timeoutMs } from "../support/wait.ts";

const folder = resolve(import.meta.dirname, "../../contrib/grafana");
const expressions = readdirSync(folder).flatMap((name) =>
  targetsIn(JSON.parse(readFileSync(join(folder, name), "utf8"))),
);

let loki: Loki | undefined;
let end = (): void => undefined;

afterEach(async () => {
  end();
  await loki?.stop();
});

test(
  "each query finds log records of the demo",
  async () => {
    loki = startLoki();
    const home = temporaryDirectory();
    const demo = spawn(programBinary(), ["demo", "--endpoint", loki.endpoint], {
      env: { HOME: home },
      stdio: "ignore",
    });
    end = () => void demo.kill("SIGKILL");
    expect(expressions).toHaveLength(3);
    // The stand-in supports matchers only, so an expression may contain nothing else.
    for (const expression of expressions) expect(expression).toMatch(/^\{\w+="[^"]*"\}(?: \| \w+=~?"[^"]*")*$/);
    for (const expression of expressions) expect(await loki.until(expression)).not.toEqual([]);
    expect(loki.query(String(expressions[0]).replace("event_name", "other_name"))).toEqual([]);
  },
  timeoutMs,
);

/** The expressions of all panels with data from Loki. */
function targetsIn(value: unknown): readonly string[] {
  if (typeof value !== "object" || value === null) return [];
  const { expr, datasource } = value as { readonly expr?: unknown; readonly datasource?: { readonly uid?: unknown } };
  if (typeof expr === "string") return datasource?.uid === "${loki}" ? [expr] : [];
  return Object.values(value).flatMap(targetsIn);
}
