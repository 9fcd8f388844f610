/** `bun run bench`: measures the real program under load, and fails where something was lost or counted wrongly. */
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { parseOptions, usage } from "./options.ts";
import type { BenchOptions } from "./options.ts";
import { lineOf, summaryOf, tableOf } from "./report.ts";
import { run } from "./run.ts";

const root = resolve(import.meta.dirname, "../..");

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  if (options === "help") {
    process.stdout.write(usage);
    return 0;
  }
  if (options === "mistake") return 64;
  const { figures, problems } = await run(options, programOf(options));
  const summary = summaryOf(figures);
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ ...summary, protocol: options.protocol, senders: options.senders, problems })}\n`,
    );
  } else {
    process.stdout.write(`${[...tableOf(summary, options), ...problems, "", lineOf(summary, problems)].join("\n")}\n`);
  }
  return problems.length === 0 ? 0 : 1;
}

function optionsOf(args: readonly string[]): BenchOptions | "help" | "mistake" {
  try {
    return parseOptions(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return "mistake";
  }
}

function programOf(options: BenchOptions): string {
  if (options.program !== undefined) return resolve(options.program);
  execFileSync(process.execPath, ["run", "build"], { cwd: root, stdio: ["ignore", process.stderr, process.stderr] });
  return resolve(root, "dist/tailscale2otel");
}
