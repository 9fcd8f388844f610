/** `demo`: the flags of the demonstration. */
import { demo } from "../demo/index.ts";
import { parseDuration } from "../lib/units.ts";
import { command } from "./command.ts";
import { option, UsageError, wholeNumberOf } from "./flags.ts";

const defaultRate = 2000;

export const demoCommand = command({
  name: "demo",
  description: "See it work: a simulated tailnet sends to the real program, and nothing is left behind",
  args: {
    endpoint: option("url", "Also export to this OTLP backend. (Default: nothing leaves this machine)"),
    protocol: {
      type: "enum",
      options: ["http/json", "http/protobuf"],
      description: "OTLP encoding for that backend.",
    },
    duration: option("30s", "Stop after this long. (Default: at Ctrl-C)"),
    rate: option("N", `Maximum number of connection entries per second. (Default: ${defaultRate})`),
    seed: option("N", "Seed of the simulation: each number makes another tailnet."),
  },
  examples: [
    ["tailscale2otel demo", "watch it; Ctrl-C ends it"],
    ["tailscale2otel demo --endpoint http://127.0.0.1:4318", "see the same in your own backend"],
    ["tailscale2otel demo --duration 30s --rate 500", "half a minute at a slow pace"],
  ],
  async run({ args, host }) {
    const { endpoint, protocol, duration, rate, seed } = args;
    if (protocol !== undefined && endpoint === undefined) throw new UsageError("--protocol needs --endpoint");
    const durationMs = duration === undefined ? undefined : parseDuration(duration);
    if (duration !== undefined && !durationMs)
      throw new UsageError(`--duration must be a time such as 30s or 5m, not ${JSON.stringify(duration)}`);
    await demo({
      endpoint,
      durationMs,
      entriesPerSecond: rate === undefined ? defaultRate : wholeNumberOf(rate, "--rate", [1, 1_000_000]),
      seed: seed === undefined ? 1 : wholeNumberOf(seed, "--seed", [0, 2 ** 32 - 1]),
      environment:
        protocol === undefined ? host.environment : { ...host.environment, TS2OTEL_OTLP__PROTOCOL: protocol },
      hasColor: host.out.hasColor,
      workerEntry: host.workerEntry,
    });
    return 0;
  },
});
