/** What is wrong with a running instance, and what to do about it, worded alike for `/readyz`, `status` and the live page. */
import { timeText } from "../lib/rfc3339.ts";
import type { Health, PollHealth, SignalHealth, Trouble } from "./status.ts";

/** All troubles, the worst first. They quote no other program, because `/readyz` shows them without a token. */
export function troublesOf(health: Health): readonly Trouble[] {
  const notReady = health.notReady.map((message): Trouble => ({
    severity: "error",
    message,
    remedy: refusal(message),
  }));
  return [...notReady, ...degradedTroubles(health)];
}

/** The troubles of all tailnets; with several, each message begins with the name of its tailnet. */
export function troublesOfAll(
  tailnets: readonly { readonly name: string; readonly health: Health }[],
): readonly Trouble[] {
  return tailnets.flatMap(({ name, health }) =>
    troublesOf(health).map((trouble) =>
      tailnets.length === 1 ? trouble : { ...trouble, message: `${name}: ${trouble.message}` },
    ),
  );
}

/** What is failing although records are accepted. */
export function degradedReasons(health: Omit<Health, "notReady">): readonly string[] {
  return degradedTroubles(health).map(({ message }) => message);
}

/** The distinct remedies of some troubles. */
export function remediesOf(troubles: readonly Trouble[]): readonly string[] {
  return [...new Set(troubles.map(({ remedy }) => remedy))];
}

/** Remedies by the beginning of the reason why records are not accepted. */
const refusals: readonly (readonly [reason: RegExp, remedy: string])[] = [
  [
    /^the journal is full/,
    "Have the backend accept logs again, or raise state.max_bytes. Dead letters can be exported again or deleted: quarantine retry, quarantine purge. Meanwhile senders are told to send again later.",
  ],
  [/^the disk of the state directory is full/, "Free space on that disk: records are accepted again at once."],
  [/^the last write failed/, "Check the disk of the state directory; it is tried again every second."],
  [/^another process writes to/, "Stop the other process, then restart this one."],
  [
    /^the database at /,
    "Start the database, or fix what the error names; it is retried all the time. Meanwhile senders are told to send again later. To test it, run: tailscale2otel check --online",
  ],
  [/is damaged|cannot be read/, "Restart the program: it recovers what can be read."],
  [
    /no TLS certificate from tailscaled/,
    "See the certificate's error, or run tailscale2otel check --online; it is asked for again until there is one.",
  ],
  [/^the program is stopping/, "Nothing to do: senders send again after the next start."],
];

function refusal(reason: string): string {
  const [, remedy] = refusals.find(([pattern]) => pattern.test(reason)) ?? [];
  return remedy ?? "See the log of the program; if the journal's files were changed, restart it.";
}

function degradedTroubles(health: Omit<Health, "notReady">): readonly Trouble[] {
  const { export: signals, destinations = [], polls, tailnet } = health;
  const ofSignals = [
    ...exportTroubles(signals, ""),
    ...destinations.flatMap(({ name, export: of }) => (of === undefined ? [] : exportTroubles(of, name))),
  ];
  const ofPolls = polls.filter(({ trouble }) => trouble !== undefined).map(pollTrouble);
  const devices = tailnet.filter(({ task }) => task === "device list");
  const setup = tailnet.filter((one) => !devices.includes(one));
  const tasks = setup.map(({ task }) => task).join(", ");
  return [
    ...(setup.length === 0 ? [] : [warning(`Tailscale is not set up: ${tasks}`, joined(setup, atTailscale))]),
    ...(devices.length === 0 ? [] : [warning("the device list cannot be read", joined(devices, atTailscale))]),
    ...ofSignals,
    ...ofPolls,
  ];
}

const atTailscale = "See the error, and run tailscale2otel check --online: it tests the API and each scope.";

function pollTrouble(poll: PollHealth): Trouble {
  const { log, lastSuccess } = poll;
  const what = `polling of the ${log} log`;
  const message = lastSuccess === undefined ? `${what} has not succeeded since the start` : `${what} failing`;
  return warning(message, joined([poll], atTailscale));
}

/** `name`: the name of a further destination; empty for the primary one. */
function exportTroubles(signals: Health["export"], name: string): readonly Trouble[] {
  return (["logs", "metrics"] as const).flatMap((signal) => {
    const { why, since, leftOut = 0, kind } = signals[signal];
    const [noun, items] = signal === "logs" ? ["log", "log records"] : ["metric", "metrics"];
    const begun = since === undefined ? "" : ` since ${typeof since === "number" ? timeText(since) : since}`;
    const backend = name === "" ? "backend" : `destination ${name}`;
    const remedy = exportRemedy(signals[signal], signal, name);
    if (kind === "refusing") return [warning(`${backend} has accepted no ${items}${begun}`, remedy)];
    if (why !== undefined)
      return [warning(`${noun} export${name === "" ? "" : ` to ${name}`} failing${begun}`, remedy)];
    return leftOut > 0 ? [warning(`${backend} rejects ${leftOut} metric series`, rejectedSeries)] : [];
  });
}

const rejectedSeries =
  "The log names the series and the backend's reason. Raise the backend's limit, or lower cardinality.*; they are tried again every 10 metric intervals.";

/** The status code in the backend's answer, after its address or a fixed text; the rest of the answer is the backend's own. */
const answerCode = /^(?:\S+: |the backend rejects all metrics: )?HTTP (\d{3})/;

/** Depends on the status code in the backend's answer. */
function exportRemedy({ kind, why = "" }: SignalHealth, signal: string, destination: string): string {
  const at = (setting: string): string => (destination === "" ? `otlp.${setting}` : `the ${setting} of ${destination}`);
  if (kind === "dead") return "Nothing to do: it restarts by itself. If it happens again, report it with the log.";
  const status = Number(answerCode.exec(why)?.[1] ?? 0);
  if (kind === "refusing" || status === 400 || status === 413 || status === 422)
    return `Check the tenant, the headers and the path of ${at("endpoint")}, and the backend's limits: it rejects whatever it is sent.`;
  if (status === 401 || status === 403)
    return `Check the credentials: ${at("headers")}, ${at(`${signal}.headers`)} or ${at("grafana_cloud")}.`;
  if (status === 415) return `The backend may not accept the encoding: change ${at("protocol")}.`;
  if (status === 429) return `The backend limits the rate: wait, or raise its limit.`;
  if (status >= 500) return `The backend is there but cannot accept it now: see its own log.`;
  if (status >= 200)
    return `Check the path of ${at("endpoint")}: /v1/${signal} is appended to it. The backend may also not accept ${signal}.`;
  return `Check ${at("endpoint")}, and whether the backend is running and can be reached: tailscale2otel check --online tests it.`;
}

/** The distinct remedies from the API's answers. */
function joined(failures: readonly { readonly remedy?: string }[], otherwise: string): string {
  return [...new Set(failures.map(({ remedy }) => remedy ?? otherwise))].join(" ");
}

function warning(message: string, remedy: string): Trouble {
  return { severity: "warning", message, remedy };
}
