/** Settings and destinations for tests of the export. */
import { tmpdir } from "node:os";
import { type Config, inspectConfig } from "../../src/config/index.ts";
import type { Encoding } from "../../src/export/answer.ts";
import type { Fetch } from "../../src/export/sender.ts";
import type { Destination } from "../../src/export/destination.ts";
import { createSender, type FailureType, type RequestOutcome } from "../../src/export/sender.ts";
import { type Logger, silentLogger } from "../../src/lib/logger.ts";

export type OtlpConfig = Config["otlp"];

/** The defaults with these settings changed: `key=value`. */
export function configWith(assignments: readonly string[] = []): Config {
  const system = { platform: "linux", homeDirectory: tmpdir() };
  return inspectConfig({ environment: {}, assignments, workingDirectory: tmpdir(), system }).config;
}

export function otlpConfig(change: Partial<OtlpConfig> = {}): OtlpConfig {
  return { ...configWith().otlp, ...change };
}

export function destinationAt(url: string, change: Partial<Destination> = {}): Destination {
  return { signal: "logs", url: `${url}/v1/logs`, headers: {}, compression: "gzip", timeoutMs: 60_000, ...change };
}

export type TestSender = ReturnType<typeof senderTo>;

const never = new AbortController().signal;

/** A sender with the runtime's own `fetch` by default, and the messages and fields of its warnings. */
export function senderTo(destination: Destination, parts: { readonly fetch?: Fetch } = {}) {
  const outcomes: RequestOutcome[] = [];
  const failures: FailureType[] = [];
  const warnings: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (message, fields) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
  };
  const send = createSender(destination, {
    fetch: parts.fetch ?? (fetch as Fetch),
    clock: () => 1_000_000,
    logger,
    credentials: () => destination,
    onAnswer(_, outcome, __, failure) {
      outcomes.push(outcome);
      if (failure !== undefined) failures.push(failure);
    },
  });
  const post = (body: Uint8Array, encoding: Encoding, stop = never) => send(body, encoding, stop);
  return { send, outcomes, failures, warnings, post };
}
