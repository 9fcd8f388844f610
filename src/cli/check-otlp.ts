/** Whether the backend accepts what is sent to it: an empty export to each address, exactly as `run` would send it. */
import { failure, type OnlineFinding } from "./check-finding.ts";
import type { Config } from "../config/index.ts";
import { displayUrl } from "../config/index.ts";
import type { Clock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import type { Answer, Encoding, Signal } from "../export/answer.ts";
import { destinationOf } from "../export/destination.ts";
import { createSender } from "../export/sender.ts";

export interface OtlpCheckDeps {
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly version: string;
}

/** One finding per signal. */
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
    const destination = destinationOf(signal, config.otlp, `tailscale2otel/${deps.version}`);
    if (destination === undefined) return { subject, outcome: "skipped", detail: `no endpoint: ${signal} stay here` };
    const send = createSender(destination, {
      ...deps,
      logger: silentLogger,
      credentials: () => destination,
      onAnswer: () => {},
    });
    const encoding = config.otlp.protocol === "http/json" ? "json" : "protobuf";
    const answer = await send(emptyExport(signal, encoding), encoding, new AbortController().signal);
    const where = displayUrl(destination.url);
    switch (answer.kind) {
      case "taken":
        return { subject, outcome: "ok", detail: `${where} accepts an empty export` };
      case "refused":
        return {
          subject,
          outcome: "failed",
          detail: `${where}: ${answer.message}`,
          remedy: remedyFor(answer, signal, config),
        };
      case "failed":
        return { subject, outcome: "failed", detail: answer.why, remedy: remedyFor(answer, signal, config) };
    }
  } catch (error) {
    return failure(subject, error);
  }
}

const emptyJson: Readonly<Record<Signal, string>> = { logs: '{"resourceLogs":[]}', metrics: '{"resourceMetrics":[]}' };

/** A protobuf message without fields has no bytes. */
function emptyExport(signal: Signal, encoding: Encoding): Uint8Array {
  return encoding === "json" ? new TextEncoder().encode(emptyJson[signal]) : new Uint8Array();
}

function remedyFor(answer: Exclude<Answer, { kind: "taken" }>, signal: Signal, { otlp }: Config): string {
  const own = otlp[signal].endpoint !== "";
  const key = own ? `otlp.${signal}.endpoint` : "otlp.endpoint";
  if (answer.kind === "refused") {
    if (answer.status === 400) return otherProtocol(otlp.protocol);
    return `The backend refuses an empty export: check ${key}.`;
  }
  switch (answer.cause) {
    case "denied":
      return remedyForDenial(answer.why, signal, {
        key,
        path: own ? "it is used as written" : `/v1/${signal} is appended to it`,
        protocol: otlp.protocol,
      });
    case "server":
    case "throttled":
      return "The backend is there but cannot accept it now: try again later.";
    case "unreachable":
    case "timeout":
    case "reset":
      if (/cert|tls|ssl/i.test(answer.why))
        return "Set otlp.tls.ca_file to the certificate to trust, or fix the backend's certificate.";
      return `Check ${key}, and whether the backend is running and can be reached from here.`;
  }
}

function remedyForDenial(
  why: string,
  signal: Signal,
  {
    key,
    path,
    protocol,
  }: { readonly key: string; readonly path: string; readonly protocol: Config["otlp"]["protocol"] },
): string {
  const status = Number(/HTTP (\d{3})/.exec(why)?.[1] ?? 0);
  if (status === 401 || status === 403)
    return `Check the credentials: otlp.headers, otlp.${signal}.headers or otlp.grafana_cloud.`;
  if (status === 415) return otherProtocol(protocol);
  if (status >= 300 && status < 400) return `Set ${key} to the address that it redirects to.`;
  return `Check the path of ${key}: ${path}. The backend may also not accept ${signal}.`;
}

function otherProtocol(protocol: Config["otlp"]["protocol"]): string {
  const other = protocol === "http/json" ? "http/protobuf" : "http/json";
  return `The backend may not accept ${protocol}: try otlp.protocol = "${other}".`;
}
