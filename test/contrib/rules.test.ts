/** The Prometheus rules: promtool accepts them, each alert fires only when it should, and each is explained. */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { alerts } from "../../scripts/contrib/alerts.ts";
import { contribFiles } from "../../scripts/contrib/index.ts";
import { logs } from "../../src/catalogue/logs.ts";
import { metrics } from "../../src/catalogue/metrics.ts";
import { settings } from "../../src/config/schema.ts";
import { programBinary } from "../support/binary.ts";
import { buildGoProgram, canHave } from "../support/go-build.ts";
import { promtoolProgram } from "../support/prometheus-build.ts";
import { timeoutMs } from "../support/wait.ts";

const root = join(import.meta.dir, "../..");
const canRun = canHave(promtoolProgram) || process.env.CI !== undefined;

describe.skipIf(!canRun)("promtool and the page about dashboards", () => {
  const page = readFileSync(join(root, "docs/dashboards.md"), "utf8");
  const block = (language: string, holding: string): string =>
    [...page.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, "g"))]
      .map(([, text = ""]) => text)
      .find((text) => text.includes(holding)) ?? "";

  test(
    "has a command that tests the rules",
    () => {
      const [command = "", ...args] = block("sh", "promtool").trim().split(" ");
      expect(command).toBe("promtool");
      const { status, stdout } = spawnSync(buildGoProgram(promtoolProgram), args, { cwd: root, encoding: "utf8" });
      expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining("SUCCESS") });
    },
    timeoutMs,
  );

  test(
    "has a configuration that Prometheus accepts together with the rules",
    () => {
      const directory = mkdtempSync(join(tmpdir(), "prometheus-configuration-"));
      writeFileSync(join(directory, "prometheus.yml"), block("yaml", "rule_files"));
      copyFileSync(
        join(root, "contrib/prometheus/tailscale2otel.rules.yml"),
        join(directory, "tailscale2otel.rules.yml"),
      );
      const args = ["check", "config", join(directory, "prometheus.yml")];
      const { status, stdout } = spawnSync(buildGoProgram(promtoolProgram), args, { encoding: "utf8" });
      rmSync(directory, { recursive: true });
      expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining("1 rule files found") });
    },
    timeoutMs,
  );

  test("has a valid Grafana dashboard provider", () => {
    expect(Bun.YAML.parse(block("yaml", "providers"))).toMatchObject({
      apiVersion: 1,
      providers: [{ type: "file", options: { path: expect.stringMatching(/^\//) } }],
    });
  });

  test("names exactly the files that exist", () => {
    const named = [...page.matchAll(/`(contrib\/[^`]+)`/g)].map(([, path = ""]) => path);
    expect(new Set(named.filter((path) => !path.endsWith("/")))).toEqual(new Set(contribFiles.map(({ path }) => path)));
  });
});

describe("what to do about an alert", () => {
  const page = readFileSync(join(root, "docs/operations.md"), "utf8");
  const [, section = ""] = page.split("\n## Alerts\n");
  const quoted = [...section.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text.replaceAll("\n", " "));

  test("names commands and flags that exist", () => {
    const commands = new Set(quoted.filter((text) => text.startsWith("tailscale2otel ")));
    expect(commands.size).toBeGreaterThan(5);
    for (const command of commands) {
      const words = command.split(" ").slice(1);
      const name = words.slice(0, words.findIndex((word) => word.startsWith("-")) >>> 0);
      const { status, stdout } = spawnSync(programBinary(), [...name, "--help"], { encoding: "utf8" });
      expect([command, status]).toEqual([command, 0]);
      for (const flag of words.filter((word) => word.startsWith("--"))) expect(stdout).toContain(flag);
    }
  });

  test("names settings, metrics and attributes that exist", () => {
    const known = new Set([
      ...settings.map(({ key }) => key),
      ...Object.keys(metrics),
      ...Object.values(logs).flatMap(({ attributes }) => Object.keys(attributes)),
      ...Object.keys(logs),
      "otel.metric.overflow",
    ]);
    const named = quoted.flatMap((text) => /^[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+(?==|$| )/.exec(text)?.[0] ?? []);
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });
});

test("every alert has a section that says what it means and what to do, in the same order", () => {
  const page = readFileSync(join(root, "docs/operations.md"), "utf8");
  const [, section = ""] = page.split("\n## Alerts\n");
  const explained = [...section.matchAll(/^### (.+)$/gm)].map(([, name]) => name);
  expect(explained).toEqual(alerts.map(({ name }) => name));
});

test("a label in the text of an alert is kept by the alert's expression", () => {
  for (const { name, value, summary, description } of alerts)
    for (const [, label] of `${summary} ${description}`.matchAll(/\$labels\.(\w+)/g))
      expect([name, value]).toEqual([name, expect.stringMatching(new RegExp(`by \\([^)]*\\b${label}\\b`))]);
});
