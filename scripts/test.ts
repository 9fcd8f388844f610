/** `bun run test`: runs all set-up and every check on a fresh machine, and ends with one line of counts. Extra arguments go to the test runner. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** One check, which passes or fails. */
interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** A program that must be installed. If it is missing, the step is skipped, or fails in CI. */
  readonly needs?: string;
}

const root = resolve(import.meta.dirname, "..");
const bun = process.execPath;
const isCi = process.env.CI !== undefined;
const reportPath = join(root, ".cache/junit.xml");

/** A test that hangs fails; one that is slow on a busy machine does not. */
const testTimeoutMs = 240_000;

/** Test files to run at once: more than the two cores of a small machine, because most tests wait for other processes. */
const parallelFiles = 3;

/** Programs that the tests call. PostgreSQL's own are on no path, so only what is needed beside them is listed. */
const toolsOfTests = "curl openssl dash busybox gzip python3 dpkg rpm pgbouncer setpriv".split(" ");

const shellScripts = [
  "install.sh",
  ".ci/run",
  "contrib/container/rootfs.sh",
  ...["openrc", "postinstall", "preremove", "preinstall-alpine"].map((name) => `scripts/release/package/${name}`),
];

const install: Step = { name: "dependencies, as locked", command: [bun, "install", "--frozen-lockfile"] };

const steps: readonly Step[] = [
  { name: "types", command: [bun, "check", "--no-script"] },
  { name: "format", command: [bun, "fmt", "--no-script", "--check"] },
  { name: "lint", command: [bun, "node_modules/oxlint/bin/oxlint"] },
  { name: "generated pages", command: [bun, "scripts/docs.ts", "--check"] },
  { name: "shell scripts", command: ["shellcheck", ...shellScripts], needs: "shellcheck" },
  { name: "binary and bundle", command: [bun, "scripts/build/index.ts"] },
  { name: "OpenTelemetry Collector", command: [bun, "test/support/collector-build.ts"], needs: "go" },
  { name: "Prometheus", command: [bun, "test/support/prometheus-build.ts"], needs: "go" },
  { name: "VictoriaMetrics", command: [bun, "test/support/victoriametrics-build.ts"], needs: "go" },
  { name: "VictoriaLogs", command: [bun, "test/support/victorialogs-build.ts"], needs: "go" },
  { name: "nfpm", command: [bun, "scripts/release/packages.ts"], needs: "go" },
  { name: "helm", command: [bun, "test/support/helm-build.ts"], needs: "go" },
  { name: "Tailscale's client library", command: [bun, "test/support/tailnet-client/build.ts"], needs: "go" },
];

const none: Counts = { passed: 0, failed: 0, skipped: 0 };
const pass: Counts = { ...none, passed: 1 };
const failure: Counts = { ...none, failed: 1 };

process.exitCode = main(process.argv.slice(2));

function main(testArguments: readonly string[]): number {
  const results = [runStep(install)];
  if (results[0]?.failed === 0) {
    for (const step of steps) results.push(runStep(step));
    for (const tool of toolsOfTests) results.push(requireTool(tool));
    results.push(runTests(testArguments));
  }
  const total = results.reduce(
    (sum, counts) => ({
      passed: sum.passed + counts.passed,
      failed: sum.failed + counts.failed,
      skipped: sum.skipped + counts.skipped,
    }),
    none,
  );
  const skipped = total.skipped === 0 ? "" : `, ${total.skipped} skipped`;
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`);
  return total.failed === 0 ? 0 : 1;
}

function runStep({ name, command, needs }: Step): Counts {
  if (needs !== undefined && Bun.which(needs) === null) return missing(name, needs);
  const [executable = "", ...args] = command;
  const startedAt = performance.now();
  const { status, stdout, stderr } = spawnSync(executable, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 ** 2,
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`${status === 0 ? "pass" : "FAIL"}  ${name} (${seconds} s)\n`);
  if (status === 0) return pass;
  process.stdout.write(`${stdout ?? ""}${stderr ?? ""}\n`);
  return failure;
}

function requireTool(tool: string): Counts {
  const path = `${process.env.PATH ?? ""}:/usr/sbin`;
  return Bun.which(tool, { PATH: path }) === null ? missing(`tests that call ${tool}`, tool) : none;
}

function missing(name: string, tool: string): Counts {
  process.stdout.write(`${isCi ? "FAIL" : "skip"}  ${name}: ${tool} is not on this machine\n`);
  return isCi ? failure : { ...none, skipped: 1 };
}

/** Counts from the runner's report; if the runner fails without a failure in the report, that counts as one. */
function runTests(testArguments: readonly string[]): Counts {
  mkdirSync(join(root, ".cache"), { recursive: true });
  rmSync(reportPath, { force: true });
  const flags = [
    "--reporter=junit",
    `--reporter-outfile=${reportPath}`,
    "--only-failures",
    `--parallel=${parallelFiles}`,
    `--timeout=${testTimeoutMs}`,
  ];
  const { status } = spawnSync(bun, ["test", ...flags, ...testArguments], { cwd: root, stdio: "inherit" });
  const counts = existsSync(reportPath) ? countsOf(readFileSync(reportPath, "utf8")) : none;
  return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

function countsOf(report: string): Counts {
  const head = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? "";
  const numberOf = (attribute: string) => Number(new RegExp(`\\b${attribute}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = numberOf("failures") + numberOf("errors");
  const skipped = numberOf("skipped");
  return { passed: numberOf("tests") - failed - skipped, failed, skipped };
}
