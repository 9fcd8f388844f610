/** The destinations part of `check --online`: sends an empty export for each signal to each destination. */
import { type Config, destinationSections, displayUrl } from "../config/index.ts";
import type { Answer, Signal } from "../export/answer.ts";
import { destinationOf, type DestinationSettings } from "../export/destination.ts";
import { createSender } from "../export/sender.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { build } from "../version.ts";
import { maxTimeoutMs } from "./check-api.ts";
import { failure, type OnlineFinding } from "./online-finding.ts";

/** Sends only empty exports, the way `run` sends them. */
export async function checkOtlp({ otlp }: Pick<Config, "otlp">): Promise<readonly OnlineFinding[]> {
  const checked = destinationSections({ otlp }).map(([at, settings]) => {
    const subject = "name" in settings ? `OTLP to ${settings.name}` : "OTLP";
    return checkDestination({ at, subject, settings });
  });
  return (await Promise.all(checked)).flat();
}

interface Checked {
  /** The key of its section. */
  readonly at: string;
  readonly subject: string;
  readonly settings: DestinationSettings;
}

async function checkDestination(checked: Checked): Promise<readonly OnlineFinding[]> {
  const { subject } = checked;
  const settings = { ...checked.settings, timeout: Math.min(checked.settings.timeout, maxTimeoutMs) };
  if (settings.protocol === "stdout")
    return [{ subject, outcome: "skipped", detail: "everything goes to standard output" }];
  const signals = (["metrics", "logs"] as const).filter((signal) => settings[signal].enabled);
  return Promise.all(signals.map((signal) => checkSignal(signal, { ...checked, settings })));
}

const emptyJson: Readonly<Record<Signal, string>> = { logs: '{"resourceLogs":[]}', metrics: '{"resourceMetrics":[]}' };

async function checkSignal(signal: Signal, checked: Checked): Promise<OnlineFinding> {
  const { at, settings: otlp } = checked;
  const subject = checked.subject.replace("OTLP", `OTLP ${signal}`);
  try {
    const destination = destinationOf(signal, otlp, `tailscale2otel/${build.version}`, at);
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
    return { subject, outcome: "failed", detail, remedy: remedyFor(answer, signal, checked) };
  } catch (error) {
    return failure(subject, error);
  }
}

function remedyFor(
  answer: Exclude<Answer, { kind: "accepted" }>,
  signal: Signal,
  { at, settings: otlp }: Checked,
): string {
  const hasOwn = otlp[signal].endpoint !== "";
  const key = hasOwn ? `${at}.${signal}.endpoint` : `${at}.endpoint`;
  const other = otlp.protocol === "http/json" ? "http/protobuf" : "http/json";
  const otherProtocol = `The backend may not accept ${otlp.protocol}: try ${at}.protocol = "${other}".`;
  if (answer.kind === "refused")
    return answer.status === 400 ? otherProtocol : `The backend rejects an empty export: check ${key}.`;
  switch (answer.cause) {
    case "denied": {
      const status = Number(/HTTP (\d{3})/.exec(answer.why)?.[1] ?? 0);
      if (status === 401 || status === 403)
        return `Check the credentials: ${at}.headers, ${at}.${signal}.headers or ${at}.grafana_cloud.`;
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
      if (answer.cause === "reset" && answer.why.startsWith("http:"))
        return `If the backend expects TLS on this port, use https:// in ${key}. Otherwise check whether it is running.`;
      return /cert|tls|ssl/i.test(answer.why)
        ? `If the backend does not use TLS, use http:// in ${key}. Otherwise set ${at}.tls.ca_file to the certificate to trust, or fix the backend's certificate.`
        : `Check ${key}, and whether the backend is running and can be reached from here.`;
  }
}
