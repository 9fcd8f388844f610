/** Whether the backend takes what is sent to it: an export with nothing in it, to each address, as `run` would send one. */
import type { Config } from "../config/index.ts";
import { displayUrl } from "../config/index.ts";
import type { Answer, Encoding, Signal } from "../export/answer.ts";
import { destinationOf } from "../export/destination.ts";
import { exportOptionsOf } from "../export/options.ts";
import { createChannel } from "../export/protocol.ts";
import { createSender, type Destination } from "../export/sender.ts";
import type { Clock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { processorOptionsOf } from "../processors/options.ts";
import { failure, type OnlineFinding } from "./check-finding.ts";

export interface OtlpCheckDeps {
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly version: string;
  /** The operator has set `otlp.protocol`. */
  readonly protocolIsSet: boolean;
}

/** One finding a signal. */
export async function checkOtlp(config: Config, deps: OtlpCheckDeps): Promise<readonly OnlineFinding[]> {
  if (config.otlp.protocol === "stdout") {
    return [{ subject: "OTLP", outcome: "skipped", detail: "everything goes to standard output" }];
  }
  const signals = (["metrics", "logs"] as const).filter((signal) => config.otlp[signal].enabled);
  return Promise.all(signals.map((signal) => checkSignal(signal, config, deps)));
}

async function checkSignal(signal: Signal, config: Config, deps: OtlpCheckDeps): Promise<OnlineFinding> {
  const subject = `OTLP ${signal}`;
  try {
    const processors = processorOptionsOf(config, { identityKey: { secret: "", tailnet: 0 }, privacySalt: "" });
    const { protocolIsSet, version } = deps;
    const options = exportOptionsOf(config, { processors, protocolIsSet, instanceId: "", version });
    const destination = destinationOf(signal, options);
    if (destination === undefined) return { subject, outcome: "skipped", detail: "no address: they stay here" };
    return await send(subject, destination, config, deps);
  } catch (error) {
    return failure(subject, error);
  }
}

const emptyJson: Readonly<Record<Signal, string>> = { logs: '{"resourceLogs":[]}', metrics: '{"resourceMetrics":[]}' };

/** A protobuf message without fields has no bytes. */
function emptyExport(signal: Signal, encoding: Encoding): Uint8Array {
  return encoding === "json" ? new TextEncoder().encode(emptyJson[signal]) : new Uint8Array();
}

async function send(
  subject: string,
  destination: Destination,
  config: Config,
  deps: OtlpCheckDeps,
): Promise<OnlineFinding> {
  const { signal } = destination;
  const encoding = config.otlp.protocol === "http/json" ? "json" : "protobuf";
  const sender = createSender(destination, { ...deps, onAnswer: () => {} });
  const channel = createChannel(sender, { signal, encoding, isSet: deps.protocolIsSet }, silentLogger);
  const answer = await channel.post((used) => emptyExport(signal, used), new AbortController().signal);
  const where = displayUrl(destination.url);
  if (answer.kind === "taken") {
    const switched = channel.encoding === encoding ? "" : `, in ${channel.encoding} only`;
    return { subject, outcome: "ok", detail: `${where} has taken an empty export${switched}` };
  }
  const said = answer.kind === "rejected" ? `${where}: ${answer.message}` : answer.why;
  return { subject, outcome: "failed", detail: said, remedy: remedyFor(answer, signal, config) };
}

function remedyFor(answer: Exclude<Answer, { kind: "taken" }>, signal: Signal, { otlp }: Config): string {
  const own = otlp[signal].endpoint !== "";
  const key = own ? `otlp.${signal}.endpoint` : "otlp.endpoint";
  const path = own ? "it is used as written" : `/v1/${signal} is appended to it`;
  const why = answer.kind === "rejected" ? answer.message : answer.why;
  const status = Number(/HTTP (\d{3})/.exec(why)?.[1] ?? 0);
  if (status === 401 || status === 403) {
    return `Look at the credentials: otlp.headers, otlp.${signal}.headers or otlp.grafana_cloud.`;
  }
  if (status === 404 || status === 405 || why.includes("web page")) {
    return `Look at the path of ${key}: ${path}. The backend may also not take ${signal}.`;
  }
  if (status === 400 || status === 415) {
    return `The backend may not speak ${otlp.protocol}: try otlp.protocol = "${otlp.protocol === "http/json" ? "http/protobuf" : "http/json"}".`;
  }
  if (status === 413 || status === 422) return `The backend does not take an empty export: look at ${key}.`;
  if (status >= 300 && status < 400) return `Write the address that it redirects to as ${key}.`;
  if (status >= 429) return "The backend is there and cannot take it now: try again later.";
  if (/cert|tls|ssl/i.test(why)) return "Give the certificate to trust as otlp.tls.ca_file, or mend the backend's.";
  return `Look at ${key}, and whether the backend runs and can be reached from here.`;
}
