/** The benchmark's flags. */
import { parseArgs } from "node:util";
import { entriesPerBody, maxBodies } from "./bodies.ts";

export interface BenchOptions {
  readonly seconds: number;
  readonly senders: number;
  /** The most connection entries a second to send; 0 = as fast as they are answered. */
  readonly rate: number;
  readonly protocol: "json" | "protobuf";
  /** The program to run: a binary, or a script for this runtime. Undefined: `dist/tailscale2otel`, built first. */
  readonly program: string | undefined;
  readonly json: boolean;
  /** How long to wait for the delivery of everything, in seconds. */
  readonly drainSeconds: number;
  /** Bodies made before the load; a run ends early when they are used up. */
  readonly bodies: number;
}

export const usage = `bun run bench [flags]

  --seconds <n>        length of the load (15)
  --senders <n>        connections that send at once (4)
  --rate <n>           connection entries a second at most; 0 = as fast as they are answered (0)
  --protocol <name>    json or protobuf (json)
  --prepare <n>        entries to prepare for each second of load (110000, or --rate)
  --drain <n>          seconds to wait until everything is delivered (90)
  --program <path>     the program to run, instead of building and running dist/tailscale2otel;
                       .ts, .js and .mjs run in this runtime
  --json               print the figures as one JSON object
`;

/** @throws {TypeError} when a flag is unknown or its value is not allowed. */
export function parseOptions(args: readonly string[]): BenchOptions | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "15" },
      senders: { type: "string", default: "4" },
      rate: { type: "string", default: "0" },
      protocol: { type: "string", default: "json" },
      prepare: { type: "string" },
      drain: { type: "string", default: "90" },
      program: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  if (values.protocol !== "json" && values.protocol !== "protobuf")
    throw new TypeError("--protocol is json or protobuf");
  const seconds = numberOf("seconds", values.seconds, { least: 1, most: 600 });
  const rate = numberOf("rate", values.rate, { least: 0, most: 10_000_000 });
  const fallback = rate > 0 ? rate : 110_000;
  const prepare =
    values.prepare === undefined ? fallback : numberOf("prepare", values.prepare, { least: 1000, most: 10_000_000 });
  return {
    seconds,
    senders: numberOf("senders", values.senders, { least: 1, most: 64 }),
    rate,
    protocol: values.protocol,
    program: values.program,
    json: values.json,
    drainSeconds: numberOf("drain", values.drain, { least: 1, most: 3600 }),
    bodies: Math.min(maxBodies, Math.ceil((seconds * prepare) / entriesPerBody)),
  };
}

function numberOf(name: string, text: string, { least, most }: { least: number; most: number }): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < least || value > most) {
    throw new TypeError(`--${name} is a number from ${least} to ${most}, not ${JSON.stringify(text)}`);
  }
  return value;
}
