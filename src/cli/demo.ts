/** The `demo` command: parses the flags of the demonstration. */
import { demo } from "../demo/index.ts";
import { defaultNodes } from "../demo/tailnet.ts";
import { parseDuration } from "../lib/units.ts";
import { command } from "./command.ts";
import { option, toggle, UsageError, wholeNumberOf } from "./flags.ts";

/** More than a tailnet of usual size generates. */
const defaultRate = 2000;
const defaultRatePerNode = 8;

/** A large tailnet gets a shorter history, because it must be generated within seconds. */
const defaultPastMs = 300_000;
const minDefaultPastMs = 30_000;
const maxPastMs = 24 * 3_600_000;

const nodeLimits = [2, 2000] as const;

export const demoCommand = command({
  name: "demo",
  description: "See it work: a simulated tailnet sends to the real program, and a page shows it live",
  args: {
    endpoint: option("url", "Also export to this OTLP backend. (Default: nothing leaves this machine)"),
    protocol: {
      type: "enum",
      options: ["http/json", "http/protobuf"],
      description: "OTLP encoding for that backend.",
    },
    duration: option("30s", "Stop after this long. (Default: at Ctrl-C)"),
    rate: option(
      "N",
      `Maximum number of connection entries per second. (Default: ${defaultRate}, and at least ${defaultRatePerNode} for each node)`,
    ),
    past: option(
      "5m",
      "How much has happened already when the page opens, up to 24h. (Default: 5m, less with many nodes)",
    ),
    nodes: option("N", `Nodes of the tailnet, ${nodeLimits.join(" to ")}. (Default: ${defaultNodes})`),
    open: toggle("Open the page in a browser; not over SSH, in a pipe or in CI. (In the terminal, o does the same)"),
    seed: option("N", "Seed of the simulation: each number makes another tailnet."),
  },
  examples: [
    ["tailscale2otel demo", "watch it in a browser and in the terminal; Ctrl-C ends it"],
    ["tailscale2otel demo --nodes 500 --open", "a large tailnet, in the browser at once"],
    ["tailscale2otel demo --endpoint http://127.0.0.1:4318", "see the same in your own backend"],
    ["tailscale2otel demo --duration 30s --rate 500", "half a minute at a slow pace"],
  ],
  async run({ args, host }) {
    const { endpoint, protocol, duration, rate, past, nodes, open, seed } = args;
    if (protocol !== undefined && endpoint === undefined) throw new UsageError("--protocol needs --endpoint");
    const durationMs = duration === undefined ? undefined : parseDuration(duration);
    if (duration !== undefined && !durationMs)
      throw new UsageError(`--duration must be a time such as 30s or 5m, not ${JSON.stringify(duration)}`);
    const pastMs = past === undefined ? undefined : parseDuration(past);
    if (past !== undefined && (pastMs === undefined || pastMs > maxPastMs))
      throw new UsageError(`--past must be a time of up to 24h such as 10m, not ${JSON.stringify(past)}`);
    const nodeCount = nodes === undefined ? defaultNodes : wholeNumberOf(nodes, "--nodes", nodeLimits);
    await demo({
      endpoint,
      durationMs,
      entriesPerSecond:
        rate === undefined
          ? Math.max(defaultRate, defaultRatePerNode * nodeCount)
          : wholeNumberOf(rate, "--rate", [1, 1_000_000]),
      nodeCount,
      pastMs: pastMs ?? Math.max(minDefaultPastMs, defaultPastMs * Math.min(1, defaultNodes / nodeCount)),
      opensBrowser: open === true,
      seed: seed === undefined ? 1 : wholeNumberOf(seed, "--seed", [0, 2 ** 32 - 1]),
      environment:
        protocol === undefined ? host.environment : { ...host.environment, TS2OTEL_OTLP__PROTOCOL: protocol },
      hasColor: host.out.hasColor,
      workerEntry: host.workerEntry,
    });
    return 0;
  },
});
