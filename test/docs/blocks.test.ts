/**
 * Every fenced block of every page has a test that runs it or a reason why it is only parsed. A block that is not in the table
 * fails, and so does a row without a block. Configurations of this program, YAML and PromQL are checked here on every page.
 */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { inspectIn } from "../config/sources.ts";
import { buildGoProgram, canHave } from "../support/go-build.ts";
import { blocksOf, pages } from "../support/pages.ts";
import { promtoolProgram } from "../support/prometheus-build.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const root = resolve(import.meta.dirname, "../..");
const scripts = "scripts of package.json, as below";

/** By page and beginning of the block: the file that runs it, or a reason. `*language` means every block in that language. */
const table: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "CONTRIBUTING.md": {
    "npx -y bun@1.4.5 install --frozen-lockfile\nnpx -y bun@1.4.5 run test  ": scripts,
    "npx -y bun@1.4.5 install --frozen-lockfile\nnpx -y bun@1.4.5 run test\n": "test/docs/release.test.ts",
    "openssl ecparam": "test/docs/release.test.ts",
  },
  "README.md": {
    " Tailscale log streaming": "a picture",
    "npx -y bun@1.4.5 run demo": scripts,
    "npx -y bun@1.4.5 install": scripts,
    "dist/tailscale2otel init": "test/e2e/first-minute.test.ts",
    "dist/tailscale2otel send": "test/e2e/first-minute.test.ts",
    "dist/tailscale2otel status": "test/docs/operations.test.ts",
    "npx -y bun@1.4.5 run test": scripts,
  },
  "docs/api.md": { "*sh": "test/e2e/api-page.test.ts" },
  "docs/backends.md": {
    "*text": "examples of output, whose words are pinned in test/cli/run.test.ts and test/cli/status.test.ts",
  },
  "docs/backends/collector.md": { "*text": "test/e2e/backends.test.ts" },
  "docs/backends/datadog.md": { "*text": "a query of a service that cannot be had here" },
  "docs/backends/dynatrace.md": { "*dql": "a query of a service that cannot be had here" },
  "docs/backends/grafana-cloud.md": { "*logql": "test/e2e/backends.test.ts" },
  "docs/backends/honeycomb.md": { "*text": "a query of a service that cannot be had here" },
  "docs/backends/loki.md": { "*logql": "test/e2e/backends.test.ts" },
  "docs/backends/victoriametrics.md": { "*logsql": "test/e2e/backends.test.ts" },
  "docs/containers.md": {
    "docker build": "needs docker; the image is assembled and run by test/contrib/image.test.ts",
    "docker run": "needs docker",
    "cp contrib/compose": "needs docker; its parts run in test/contrib/compose.test.ts",
    "kubectl create": "needs kubectl; the chart is rendered by the real helm in test/contrib",
  },
  "docs/dashboards.md": { "*sh": "test/contrib/rules.test.ts" },
  "docs/design.md": { " receivers/hec": "a picture" },
  "docs/destinations.md": {
    "*sh": "test/cli/destinations.test.ts",
    "destination   archive": "an example of output, which test/cli/status.test.ts pins",
  },
  "docs/getting-started.md": {
    "*sh": "test/docs/getting-started.test.ts",
    "*text": "test/docs/getting-started.test.ts",
  },
  "docs/install.md": {
    "sh install.sh": "test/docs/install.test.ts",
    "export TS2OTEL_STREAMING": "test/e2e/first-minute.test.ts",
    "export TS2OTEL_TAILSCALE": "test/e2e/first-minute.test.ts",
    ". ./tailscale2otel.env": "test/e2e/first-minute.test.ts",
    "echo 'eval": "test/cli/completion.test.ts",
    "sudo tailscale2otel service": "needs root and systemd: bun run prove service",
    "# Written by": "generated, and checked by scripts/docs.ts",
    "openssl dgst": "test/docs/release.test.ts",
    "sudo dpkg": "needs root; packages are installed into a folder by test/release/packages.test.ts",
    "sudo tailscale2otel init": "needs root and systemd",
    "<base>/latest": "a layout, which test/install/release-server.ts has",
  },
  "docs/live-page.md": { "tailscale2otel demo": "test/demo/demo.test.ts" },
  "docs/moving.md": { "*sh": "test/migration/page.test.ts" },
  "docs/operations.md": {
    "received    106": "an example of output, which test/cli/status.test.ts pins",
    "tailscale2otel tail": "test/e2e/tail.test.ts",
    "tailscale2otel quarantine": "test/docs/operations.test.ts",
    "tailscale2otel replay": "test/docs/operations.test.ts",
    "sudo systemctl stop tailscale2otel\nsudo tar": "test/docs/operations.test.ts",
    "sudo systemctl stop tailscale2otel\nsudo find": "test/docs/operations.test.ts",
  },
  "docs/past-one-machine.md": {
    "                     ┌─▶ receiver A": "a picture",
    "cp contrib/cluster": "needs docker; the balancers run in test/contrib/cluster.test.ts",
    "*sql": "needs an administrator of the database",
    "sudo systemctl stop": "needs root and systemd; bun run prove move, and test/journal/move.test.ts",
  },
  "docs/performance.md": { "bun run bench\n": scripts, "bun run bench --profile": scripts },
  "docs/reach.md": {
    TS_PERMIT_CERT_UID: "tailscaled's environment: bun run prove tailscaled",
    "ssh -L": "needs another machine",
    "tailscale serve --bg 9091": "needs Tailscale",
    "tailscale funnel --bg 8089": "needs Tailscale",
    "tailscale funnel --bg --tcp": "needs Tailscale",
    "tailscale2otel send": "test/docs/reach.test.ts",
    "*caddyfile": "scripts/prove/proxies.ts",
    "*nginx": "scripts/prove/proxies.ts",
  },
  "docs/troubleshooting.md": { "tailscale2otel status": "test/docs/troubleshooting.test.ts" },
};

const checkedHere = new Set(["toml", "yaml", "promql"]);
const blocks = pages.flatMap((page) => blocksOf(page).map((block) => ({ page, ...block })));
/** Page, first line and whole text of each block in a language. */
const blocksIn = (wanted: string) =>
  blocks.flatMap(({ page, language, text }) =>
    language === wanted ? [[page, text.split("\n")[0], text] as const] : [],
  );
const rows = Object.entries(table).flatMap(([page, of]) =>
  Object.entries(of).map(([beginning, fate]) => ({ page, beginning, fate })),
);
const matches = ({ page, beginning }: (typeof rows)[number], block: (typeof blocks)[number]): boolean =>
  page === block.page && (beginning === `*${block.language}` || block.text.startsWith(beginning));

test("each block has exactly one row, and each row has a block", () => {
  const classified = blocks.filter(({ language }) => !checkedHere.has(language));
  for (const block of classified) {
    const found = rows.filter((row) => matches(row, block));
    expect([block.page, block.text, found.length]).toEqual([block.page, block.text, 1]);
  }
  expect(rows.filter((row) => !classified.some((block) => matches(row, block)))).toEqual([]);
});

test("the files in the table exist and name the page", () => {
  for (const { page, beginning, fate } of rows) {
    if (!/^(?:test|scripts)\/\S+$/.test(fate)) continue;
    const name = page.startsWith("docs/backends/") ? "docs/backends" : page.replace("docs/", "");
    const text = existsSync(join(root, fate)) ? readFileSync(join(root, fate), "utf8") : "missing";
    expect([fate, beginning, text.includes(name)]).toEqual([fate, beginning, true]);
  }
});

test.each(blocksIn("sh"))("%s has a valid shell script: %s", (_page, _line, text) => {
  const { status, stderr } = spawnSync("sh", ["-n"], { input: text, encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
});

test("Bun commands name existing scripts and the version in use", () => {
  const { scripts: named, packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly scripts: Readonly<Record<string, string>>;
    readonly packageManager: string;
  };
  const text = blocks.map((block) => block.text).join("\n");
  for (const [, version] of text.matchAll(/npx -y (bun@\S+)/g)) expect(version).toBe(packageManager);
  const run = [...text.matchAll(/\bbun(?:@\S+)? run (\w+)/g)].map(([, name = ""]) => name);
  expect(run.length).toBeGreaterThan(5);
  expect(Object.keys(named)).toEqual(expect.arrayContaining(run));
});

const directory = temporaryDirectory();
const secrets = ["hec-token", "grafana-token", "webhook-secret", "tailscale-client", "stream-token"];
const ofTailnets = ["acme-token", "acme-webhook", "globex-oauth"];
for (const name of [...secrets, ...ofTailnets]) writeFileSync(join(directory, name), "test-token", { mode: 0o600 });

test.each(blocksIn("toml"))("%s has a valid configuration: %s", (_page, _line, text) => {
  const { problems, warnings } = inspectIn(directory, { toml: text.replaceAll("/run/secrets/", "") });
  // A page about export need not configure a receiver.
  expect(problems.filter((problem) => !problem.includes("there is nothing to receive or poll"))).toEqual([]);
  // A page may leave to another one where records are exported, and how other logs arrive.
  const elsewhere = /local mode|there are no API credentials|only the tailnet protects|is "poll" and streaming.enabled/;
  expect(warnings.filter((warning) => !elsewhere.test(warning))).toEqual([]);
});

test.each(blocksIn("yaml"))("%s has YAML: %s", (_page, _line, text) => expect(parse(text)).toBeObject());

test.skipIf(!canHave(promtoolProgram) && process.env.CI === undefined)(
  "Prometheus accepts the configuration with the rules",
  () => {
    const fragment = blocks.find(({ page, text }) => page === "docs/dashboards.md" && text.includes("rule_files"));
    writeFileSync(join(directory, "prometheus.yml"), fragment?.text ?? "");
    const rules = "tailscale2otel.rules.yml";
    copyFileSync(join(root, "contrib/prometheus", rules), join(directory, rules));
    const args = ["check", "config", join(directory, "prometheus.yml")];
    const { status, stdout, stderr } = spawnSync(buildGoProgram(promtoolProgram), args, { encoding: "utf8" });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("1 rule files found");
  },
);

test.skipIf(!canHave(promtoolProgram) && process.env.CI === undefined)(
  "promtool understands every PromQL query on the pages",
  () => {
    const queries = blocks.filter(({ language }) => language === "promql");
    expect(queries.length).toBeGreaterThan(90);
    const rules = queries.map(({ text }, index) => ({ record: `query:${index}`, expr: text }));
    const path = join(directory, "rules.json");
    writeFileSync(path, JSON.stringify({ groups: [{ name: "pages", rules }] }));
    const { status, stdout, stderr } = spawnSync(buildGoProgram(promtoolProgram), ["check", "rules", path], {
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`${queries.length} rules found`);
  },
);
