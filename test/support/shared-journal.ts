/**
 * Starts and queries instances of the compiled program that share a database journal, and checks invariants of their counters.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { InstanceStatus } from "../../src/admin/cluster.ts";
import { metrics } from "../../src/catalogue/metrics.ts";
import { askAdmin } from "./admin.ts";
import { programBinary } from "./binary.ts";
import { flowEnvelope } from "./hec-server.ts";
import type { SunkPoint } from "./otlp-sink.ts";
import { launchProgram, type LaunchedProgram, type RunningProgram } from "./running-program.ts";
import { until } from "./wait.ts";

export interface SharingOptions {
  /** The instance's own directory, for its local state. */
  readonly directory: string;
  /** The base URL of the OTLP receiver. */
  readonly endpoint: string;
  readonly settings: Readonly<Record<string, string>>;
}

/** Resolves as soon as the process exists. */
export function launchInstance({ directory, endpoint, settings }: SharingOptions): Promise<LaunchedProgram> {
  mkdirSync(directory, { recursive: true });
  return launchProgram({
    command: [programBinary()],
    directory,
    endpoint,
    encoding: "protobuf",
    settings: {
      TS2OTEL_STATE__LEASE: "1s",
      TS2OTEL_OTLP__METRIC_INTERVAL: "200ms",
      ...settings,
    },
  });
}

/** Resolves once the instance accepts records. */
export async function startInstance(options: SharingOptions): Promise<RunningProgram> {
  const program = await launchInstance(options);
  await program.healthy();
  return program;
}

/** `query`: selects one of several tailnets. */
export function statusOf({ admin }: RunningProgram, query = ""): Promise<InstanceStatus> {
  return askAdmin<InstanceStatus>(admin, `status${query}`);
}

/** Resolves once the instance is the leader and has counted everything. */
export function untilLeads(program: RunningProgram, query = ""): Promise<void> {
  return until(async () => {
    const status = await statusOf(program, query);
    return status.cluster?.isLeading === true && "counters" in status && status.counters.kind === "current";
  });
}

/** Flow records numbered `from` up to `to` (exclusive), as one body. */
export function serials(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, index) => flowEnvelope(from + index)).join("");
}

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly code: number | undefined;
}

/** Posts a body to the stream receiver, or to another `path` of it. */
export async function post(
  { url, token }: RunningProgram,
  body: string,
  given: { readonly path?: string; readonly token?: string } = {},
): Promise<Answer> {
  const response = await fetch(given.path === undefined ? url : new URL(given.path, url), {
    method: "POST",
    headers: { authorization: `Splunk ${given.token ?? token}` },
    body,
  });
  const { code } = (await response.json()) as { readonly code?: number };
  return { status: response.status, retryAfter: response.headers.get("retry-after"), code };
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the program to completion; `settings` are its variables. */
export async function runCommand(
  args: readonly string[],
  { directory, settings }: Pick<SharingOptions, "directory" | "settings">,
): Promise<CommandResult> {
  const child = spawn(programBinary(), args, {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
    env: { HOME: directory, TS2OTEL_STATE__PATH: join(directory, "state"), ...settings },
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => (texts[name] += text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, ...texts };
}

/** Describes the journal's counters that decreased, restarted or changed their resource. */
export function brokenCounters(points: readonly SunkPoint[]): readonly string[] {
  const known = new Map<string, SunkPoint>();
  const broken: string[] = [];
  for (const point of points.toSorted(byTime)) {
    if (point.isMonotonic !== true || !ledgerNames.has(point.metric)) continue;
    const series = `${point.metric} ${JSON.stringify(Object.entries(point.attributes).toSorted())}`;
    const before = known.get(series);
    known.set(series, point);
    if (before === undefined) continue;
    if ((point.value ?? 0) < (before.value ?? 0)) broken.push(`${series}: ${before.value}, then ${point.value}`);
    if (point.startTimeUnixNano !== before.startTimeUnixNano) broken.push(`${series} began anew`);
    if (JSON.stringify(point.resource) !== JSON.stringify(before.resource))
      broken.push(`${series}: ${JSON.stringify(before.resource)}, then ${JSON.stringify(point.resource)}`);
  }
  return broken;
}

/** The latest values of a metric, summed over the series with these attributes. */
export function total(
  points: readonly SunkPoint[],
  metric: string,
  attributes: Readonly<Record<string, string>> = {},
): number {
  const newest = new Map<string, SunkPoint>();
  const wanted = Object.entries(attributes);
  for (const point of points.toSorted(byTime)) {
    if (point.metric === metric && wanted.every(([name, value]) => point.attributes[name] === value))
      newest.set(JSON.stringify(Object.entries(point.attributes).toSorted()), point);
  }
  return [...newest.values()].reduce((sum, { value = 0 }) => sum + value, 0);
}

const ledgerNames = new Set<string>(
  Object.entries(metrics).flatMap(([name, { origin }]) => (origin === "ledger" ? [name] : [])),
);

function byTime(one: SunkPoint, other: SunkPoint): number {
  const [first, second] = [BigInt(one.timeUnixNano ?? 0), BigInt(other.timeUnixNano ?? 0)];
  return first < second ? -1 : first > second ? 1 : 0;
}
