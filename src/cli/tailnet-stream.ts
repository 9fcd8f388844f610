/** The `tailnet stream` commands: show, set and remove where Tailscale sends its logs. */
import { type Config, displayUrl } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { activityOf, isSentTo, logNames, logStreamTargetOf, publicAddress } from "../tailnet/log-streams.ts";
import type { LogName, LogStream, LogStreamStatus } from "../tailscale/index.ts";
import { type Command, command } from "./command.ts";
import { isConfirmed, openTailnet, type TailnetAccess, tailnetFlags, yesFlag } from "./tailnet.ts";
import { type Host, jsonText, tableText } from "./terminal.ts";

/** Tailscale's names of the logs, by the values of `--log`. */
const logsByChoice: Readonly<Record<string, readonly LogName[]>> = {
  network: ["network"],
  configuration: ["configuration"],
  both: logNames,
  flow: ["network"],
  audit: ["configuration"],
};

const logFlag = {
  log: {
    type: "enum" as const,
    options: Object.keys(logsByChoice),
    description: "The flow log (network or flow), the audit log (configuration or audit), or both. (Default: both)",
  },
};

const show: Command = command({
  name: "tailnet stream show",
  description: "Show where Tailscale sends its logs, and whether that works",
  args: { ...tailnetFlags, ...logFlag },
  examples: [
    ["tailscale2otel tailnet stream show", "both logs"],
    ["tailscale2otel tailnet stream show --log network --json", "for scripts"],
  ],
  notes: "Needs the scope log_streaming:read.",
  async run({ args, sources, host }) {
    const { config, api } = openTailnet(sources, "streaming", args.tailnet);
    const shown: Shown[] = [];
    for (const log of logsOf(args.log)) {
      const stream = (await api.logStream(log)) ?? null;
      const status = stream === null ? null : await api.logStreamStatus(log);
      shown.push({
        log,
        here: placeOf(stream, config),
        stream: stream && { ...stream, url: displayUrl(stream.url) },
        status,
      });
    }
    const head = [
      "log",
      "here",
      "destination",
      "compression",
      "last activity",
      "entries",
      "failed requests",
      "last error",
    ];
    return { text: tableText(head, shown.map(rowOf), host.out), json: shown };
  },
});

const set: Command = command({
  name: "tailnet stream set",
  description: "Make Tailscale send its logs to the stream receiver",
  args: { ...tailnetFlags, ...logFlag, ...yesFlag },
  examples: [
    ["tailscale2otel tailnet stream set", "both logs, to streaming.public_url with streaming.token"],
    ["tailscale2otel tailnet stream set --log network --yes", "replaces another destination without asking"],
  ],
  notes:
    "Needs the scope log_streaming, and device_invites and policy_file for an address inside the tailnet. Asks before it replaces another destination.",
  async run({ args, sources, host }) {
    const access = openTailnet(sources, "streaming", args.tailnet);
    requireReceiver(access);
    const { config, api } = access;
    const target = logStreamTargetOf(config);
    const url = displayUrl(target.url);
    return changeEach(args, host, async (log) => {
      const before = await api.logStream(log, "set");
      const replaced = before === undefined || isSentTo(target.url, before) ? null : displayUrl(before.url);
      const question = `The ${log} log goes to ${before?.destinationType} ${replaced}. Replace that?`;
      if (replaced !== null && !(await isConfirmed(host, args.yes, question))) return undefined;
      // Set even if it already points here, because Tailscale does not say which token it uses.
      await api.putLogStream(log, target);
      return { text: `now sent to ${url}`, json: { url, replaced } };
    });
  },
});

const remove: Command = command({
  name: "tailnet stream remove",
  description: "Make Tailscale stop sending its logs",
  args: { ...tailnetFlags, ...logFlag, ...yesFlag },
  examples: [
    ["tailscale2otel tailnet stream remove --log configuration", "one of the logs"],
    ["tailscale2otel tailnet stream remove --yes", "both, without asking"],
  ],
  notes: "Needs the scope log_streaming. With streaming.auto_configure, the next start of the service sets it again.",
  async run({ args, sources, host }) {
    const { config, api, keyOf } = openTailnet(sources, "streaming", args.tailnet);
    const code = await changeEach(args, host, async (log) => {
      const before = await api.logStream(log, "set");
      const removed = before === undefined ? null : displayUrl(before.url);
      if (removed !== null && !(await isConfirmed(host, args.yes, `Stop sending the ${log} log to ${removed}?`)))
        return undefined;
      if (removed !== null) await api.deleteLogStream(log);
      return { text: removed === null ? "was not sent anywhere" : `no longer sent to ${removed}`, json: { removed } };
    });
    if (config.streaming.auto_configure)
      await host.err.write(`${keyOf("streaming.auto_configure")} is on: the next start of the service sets it again\n`);
    return code;
  },
});

export const tailnetStreamCommands: readonly Command[] = [show, set, remove];

/** Returns the outcome for one log; undefined if the user declined. */
type Change = (log: LogName) => Promise<{ readonly text: string; readonly json: object } | undefined>;

/** Reports each outcome, even if a later change fails. Declining one log does not undo the other. Returns the exit code. */
async function changeEach(
  args: { readonly log?: string | undefined; readonly json?: boolean | undefined },
  { out }: Host,
  change: Change,
): Promise<number> {
  const outcomes: object[] = [];
  let code = 0;
  try {
    for (const log of logsOf(args.log)) {
      const done = await change(log);
      if (done === undefined) code = 1;
      outcomes.push({ log, ...(done?.json ?? { declined: true }) });
      if (args.json !== true) await out.write(`${log}: ${done?.text ?? "unchanged"}\n`);
    }
  } finally {
    if (args.json === true) await out.write(jsonText(outcomes));
  }
  return code;
}

function logsOf(flag = "both"): readonly LogName[] {
  return logsByChoice[flag] ?? logNames;
}

/** @throws {ConfigError} */
function requireReceiver({ config: { streaming }, keyOf }: TailnetAccess): void {
  const missing = [
    ...(streaming.public_url === ""
      ? ["streaming.public_url, the address at which Tailscale reaches the receiver"]
      : []),
    ...(streaming.token === "" ? [`${keyOf("streaming.token")}, the token that Tailscale sends`] : []),
  ];
  if (missing.length > 0) throw new ConfigError(missing.map((what) => `the log streams cannot be set: set ${what}`));
}

interface Shown {
  readonly log: LogName;
  /** Whether Tailscale sends it to this receiver; unknown without `streaming.public_url`. */
  readonly here: "yes" | "no" | "not set" | "unknown";
  readonly stream: LogStream | null;
  readonly status: LogStreamStatus | null;
}

function placeOf(stream: LogStream | null, { streaming }: Config): Shown["here"] {
  if (stream === null) return "not set";
  if (streaming.public_url === "") return "unknown";
  return isSentTo(publicAddress(streaming.public_url, streaming.path), stream) ? "yes" : "no";
}

function rowOf({ log, here, stream, status }: Shown): readonly string[] {
  if (stream === null || status === null) return [log, here];
  const counts = [status.numEntriesSent ?? 0, status.numFailedRequests ?? 0].map(String);
  const error = status.lastError || "none";
  const destination = `${stream.destinationType} ${stream.url}`;
  return [log, here, destination, stream.compressionFormat, activityOf(status) ?? "none", ...counts, error];
}
