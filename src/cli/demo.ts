/** `demo`: the flags of the demonstration. */
import { parseDuration } from "../lib/units.ts";
import { command } from "./command.ts";
import { defaultEntriesPerSecond, demo } from "../demo/index.ts";
import { UsageError } from "./flags.ts";

export const demoCommand = command({
  name: "demo",
  description: "Show it working: a simulated tailnet, the real program, and nothing left behind",
  args: {
    endpoint: { type: "string", valueHint: "url", description: "Send to this OTLP backend too; else nothing leaves." },
    protocol: {
      type: "enum",
      options: ["http/json", "http/protobuf"],
      description: "The encoding for that backend.",
    },
    duration: { type: "string", valueHint: "30s", description: "End by itself; else Ctrl-C ends it." },
    rate: {
      type: "string",
      valueHint: "N",
      description: `The most connection entries to send a second. (Default: ${defaultEntriesPerSecond})`,
    },
    seed: { type: "string", valueHint: "N", description: "Another number gives another tailnet." },
  },
  examples: [
    ["tailscale2otel demo", "watch it; Ctrl-C ends it"],
    ["tailscale2otel demo --endpoint http://127.0.0.1:4318", "the same in a backend of yours"],
    ["tailscale2otel demo --duration 30s --rate 500", "half a minute at a slow pace"],
  ],
  async run({ args, host }) {
    const { endpoint, protocol } = args;
    if (protocol !== undefined && endpoint === undefined) throw new UsageError("--protocol needs --endpoint");
    await demo({
      endpoint,
      durationMs: optional(args.duration, readDuration),
      entriesPerSecond: optional(args.rate, (text) => readCount("--rate", text, { from: 1, to: 1_000_000 })),
      seed: optional(args.seed, (text) => readCount("--seed", text, { from: 0, to: 2 ** 32 - 1 })),
      environment: protocol === undefined ? host.environment : { ...host.environment, [protocolVariable]: protocol },
      workerEntry: host.workerEntry,
    });
    return 0;
  },
});

/** The demo takes what concerns its backend from variables. */
const protocolVariable = "TS2OTEL_OTLP__PROTOCOL";

function optional<Value>(text: string | undefined, read: (text: string) => Value): Value | undefined {
  return text === undefined ? undefined : read(text);
}

function readDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0)
    throw new UsageError(`--duration takes a time such as 30s or 5m, not ${JSON.stringify(text)}`);
  return ms;
}

function readCount(flag: string, text: string, span: { readonly from: number; readonly to: number }): number {
  const count = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (count >= span.from && count <= span.to) return count;
  throw new UsageError(`${flag} takes a whole number from ${span.from} to ${span.to}, not ${JSON.stringify(text)}`);
}
