/** Prometheus's rules: promtool takes them, each alert fires when it should and only then, and each is explained. */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { alerts } from "../../scripts/contrib/alerts.ts";
import { buildGoProgram, canHave } from "../support/go-build.ts";
import { promtoolProgram } from "../support/prometheus-build.ts";
import { timeoutMs } from "../support/wait.ts";

const root = join(import.meta.dir, "../..");
const canRun = canHave(promtoolProgram) || process.env.CI !== undefined;

describe.skipIf(!canRun)("promtool", () => {
  for (const [what, file] of [
    ["check", "tailscale2otel.rules.yml"],
    ["test", "tailscale2otel.rules.test.yml"],
  ] as const)
    test(
      `${what} rules ${file}`,
      () => {
        const { status, stdout, stderr } = spawnSync(buildGoProgram(promtoolProgram), [what, "rules", file], {
          cwd: join(root, "contrib/prometheus"),
          encoding: "utf8",
        });
        expect({ status, report: `${stdout}${stderr}` }).toMatchObject({
          status: 0,
          report: expect.stringContaining("SUCCESS"),
        });
      },
      timeoutMs,
    );
});

test("every alert has a section that says what it means and what to do, in the same order", () => {
  const page = readFileSync(join(root, "docs/operations.md"), "utf8");
  const [, section = ""] = page.split("\n## Alerts\n");
  const explained = [...section.matchAll(/^### (.+)$/gm)].map(([, name]) => name);
  expect(explained).toEqual(alerts.map(({ name }) => name));
});

test("a name in a text of an alert is a label that its value keeps", () => {
  for (const { name, value, summary, description } of alerts)
    for (const [, label] of `${summary} ${description}`.matchAll(/\$labels\.(\w+)/g))
      expect([name, value]).toEqual([name, expect.stringMatching(new RegExp(`by \\([^)]*\\b${label}\\b`))]);
});
