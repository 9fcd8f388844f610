/** `check --online`, backend: an empty export to each address, exactly as `run` would send it. */
import { type Config, displayUrl } from "../config/index.ts";
import type { Answer, Signal } from "../export/answer.ts";
import { destinationOf } from "../export/destination.ts";
import { createSender } from "../export/sender.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { build } from "../version.ts";
import { failure, type OnlineFinding } from "./check-local.ts";

/** One finding per signal. */
export async function checkOtlp({ otlp }: Config): Promise<readonly OnlineFinding[]> {
  if (otlp.protocol === "stdout")
    return [{ subject: "OTLP", outcome: "skipped", detail: "everything goes to standard output" }];
  const signals = (["metrics", "logs"] as const).filter((signal) => otlp[signal].enabled);
  return Promise.all(signals.map((signal) => checkSignal(signal, otlp)));
}

const emptyJson: Readonly<Record<Signal, string>> = { logs: '{"resourceLogs":[]}', metrics: '{"resourceMetrics":[]}' };

async function checkSignal(signal: Signal, otlp: Config["otlp"]): Promise<OnlineFinding> {
  const subject = `OTLP ${signal}`;
  try {
    const destination = destinationOf(signal, otlp, `tailscale2otel/${build.version}`);
    if (destination === undefined)
      return { subject, outcome: "skipped", detail: `no endpoint: ${signal} are not exported` };
    const send = createSender(destination, {
      fetch,
      clock: systemClock,
      logger: silentLogger,
      credentials: () => destination,
      onAnswer: () => {},
    });
    const isJson = otlp.protocol === "http/json";
    // A protobuf message without fields has no bytes.
    const body = new TextEncoder().encode(isJson ? emptyJson[signal] : "");
    const answer = await send(body, isJson ? "json" : "protobuf", new AbortController().signal);
    const where = displayUrl(destination.url);
    if (answer.kind === "accepted") return { subject, outcome: "ok", detail: `${where} accepts an empty export` };
    const detail = answer.kind === "refused" ? `${where}: ${answer.message}` : answer.why;
    return { subject, outcome: "failed", detail, remedy: remedyFor(answer, signal, otlp) };
  } catch (error) {
    return failure(subject, error);
  }
}

function remedyFor(answer: Exclude<Answer, { kind: "accepted" }>, signal: Signal, otlp: Config["otlp"]): string {
  const hasOwn = otlp[signal].endpoint !== "";
  const key = hasOwn ? `otlp.${signal}.endpoint` : "otlp.endpoint";
  const other = otlp.protocol === "http/json" ? "http/protobuf" : "http/json";
  const otherProtocol = `The backend may not accept ${otlp.protocol}: try otlp.protocol = "${other}".`;
  if (answer.kind === "refused")
    return answer.status === 400 ? otherProtocol : `The backend rejects an empty export: check ${key}.`;
  switch (answer.cause) {
    case "denied": {
      const status = Number(/HTTP (\d{3})/.exec(answer.why)?.[1] ?? 0);
      if (status === 401 || status === 403)
        return `Check the credentials: otlp.headers, otlp.${signal}.headers or otlp.grafana_cloud.`;
      if (status === 415) return otherProtocol;
      if (status >= 300 && status < 400) return `Set ${key} to the address that it redirects to.`;
      const path = hasOwn ? "it is used as written" : `/v1/${signal} is appended to it`;
      return `Check the path of ${key}: ${path}. The backend may also not accept ${signal}.`;
    }
    case "server":
    case "throttled":
      return "The backend is there but cannot accept it now: try again later.";
    case "unreachable":
    case "timeout":
    case "reset":
      return /cert|tls|ssl/i.test(answer.why)
        ? "Set otlp.tls.ca_file to the certificate to trust, or fix the backend's certificate."
        : `Check ${key}, and whether the backend is running and can be reached from here.`;
  }
}
