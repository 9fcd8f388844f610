/** `tailnet stream …`: where Tailscale sends its logs. */
import { type Config, displayUrl } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { activityOf, isSentTo, logNames, logStreamTargetOf, publicAddress } from "../tailnet/log-streams.ts";
import type { LogName, LogStream, LogStreamStatus } from "../tailscale/index.ts";
import { type Command, command } from "./command.ts";
import { isConfirmed, openTailnet, showResult, tailnetFlags, yesFlag } from "./tailnet.ts";
import { type Host, tableText } from "./terminal.ts";

const logChoices: (LogName | "both")[] = ["network", "configuration", "both"];

const logFlag = {
  log: {
    type: "enum" as const,
    options: logChoices,
    description: "The flow log (network), the audit log (configuration), or both. (Default: both)",
  },
};

const show: Command = command({
  name: "tailnet stream show",
  description: "Show where Tailscale sends its logs, and whether that works",
  args: { ...tailnetFlags, ...logFlag },
  examples: [
    ["tailscale2otel tailnet stream show", "both logs"],
    ["tailscale2otel tailnet stream show --log network --json", "for programs"],
  ],
  notes: "Needs the scope log_streaming:read.",
  async run({ args, flags, host }) {
    const { config, api } = openTailnet(flags, host, "streaming");
    const shown: Shown[] = [];
    for (const log of logsOf(args.log)) {
      const stream = await api.logStream(log);
      const status = stream === undefined ? undefined : await api.logStreamStatus(log);
      shown.push({ log, to: placeOf(stream, config), stream, status });
    }
    await showResult(host, args.json, {
      json: shown.map(({ stream, status, ...one }) => ({
        ...one,
        stream: stream === undefined ? null : { ...stream, url: displayUrl(stream.url) },
        status: status ?? null,
      })),
      text: tableText(
        ["log", "to", "destination", "compression", "last activity", "entries", "failed requests", "last error"],
        shown.map(rowOf),
        host.out,
      ),
    });
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
    "Needs the scope log_streaming, and device_invites and policy_file for an address inside the tailnet. Another destination is replaced only after a yes.",
  async run({ args, flags, host }) {
    const { config, api } = openTailnet(flags, host, "streaming");
    requireReceiver(config);
    const target = logStreamTargetOf(config);
    const url = displayUrl(target.url);
    const outcomes = await changeEach(host, logsOf(args.log), async (log) => {
      const before = await api.logStream(log);
      const replaced = before === undefined || isSentTo(target.url, before) ? null : displayUrl(before.url);
      const question = `The ${log} log goes to ${before?.destinationType} ${replaced}. Replace that?`;
      if (replaced !== null && !(await isConfirmed(host, args.yes, question))) return undefined;
      // Also if it points here already: Tailscale does not say with which token.
      await api.putLogStream(log, target);
      return { changed: true, text: `now sent to ${url}`, json: { url, replaced } };
    });
    return report(host, args.json, outcomes);
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
  async run({ args, flags, host }) {
    const { config, api } = openTailnet(flags, host, "streaming");
    const outcomes = await changeEach(host, logsOf(args.log), async (log) => {
      const before = await api.logStream(log);
      const removed = before === undefined ? null : displayUrl(before.url);
      if (removed !== null && !(await isConfirmed(host, args.yes, `Stop sending the ${log} log to ${removed}?`)))
        return undefined;
      if (removed !== null) await api.deleteLogStream(log);
      const text = removed === null ? "was not sent anywhere" : `no longer sent to ${removed}`;
      return { changed: removed !== null, text, json: { removed } };
    });
    if (config.streaming.auto_configure)
      await host.err.write("streaming.auto_configure is on: the next start of the service sets it again\n");
    return report(host, args.json, outcomes);
  },
});

export const tailnetStreamCommands: readonly Command[] = [show, set, remove];

interface Outcome {
  readonly log: LogName;
  /** Nothing if the answer was no. */
  readonly done: { readonly changed: boolean; readonly text: string; readonly json: object } | undefined;
}

type Change = (log: LogName) => Promise<Outcome["done"]>;

/** If a change fails, those made before it are still reported. */
async function changeEach({ err }: Host, logs: readonly LogName[], change: Change): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  try {
    for (const log of logs) outcomes.push({ log, done: await change(log) });
  } catch (error) {
    const changed = outcomes.filter(({ done }) => done?.changed === true);
    await err.write(changed.map(({ log, done }) => `${log}: ${done?.text ?? ""}\n`).join(""));
    throw error;
  }
  return outcomes;
}

/** Reports the outcome for each log: a no for one undoes nothing of the other. Returns the exit code. */
async function report(host: Host, isJson: boolean | undefined, outcomes: readonly Outcome[]): Promise<number> {
  await showResult(host, isJson, {
    json: outcomes.map(({ log, done }) => ({ log, ...(done?.json ?? { declined: true }) })),
    text: outcomes.map(({ log, done }) => `${log}: ${done?.text ?? "left as it is"}\n`).join(""),
  });
  return outcomes.every(({ done }) => done !== undefined) ? 0 : 1;
}

function logsOf(flag: LogName | "both" | undefined): readonly LogName[] {
  return flag === undefined || flag === "both" ? logNames : [flag];
}

/** @throws {ConfigError} */
function requireReceiver({ streaming }: Config): void {
  const missing = [
    ...(streaming.public_url === ""
      ? ["streaming.public_url, the address at which Tailscale reaches the receiver"]
      : []),
    ...(streaming.token === "" ? ["streaming.token, which Tailscale has to send"] : []),
  ];
  if (missing.length > 0) throw new ConfigError(missing.map((what) => `the log streams cannot be set: set ${what}`));
}

interface Shown {
  readonly log: LogName;
  readonly to: "this receiver" | "elsewhere" | "nowhere";
  readonly stream: LogStream | undefined;
  readonly status: LogStreamStatus | undefined;
}

function placeOf(stream: LogStream | undefined, { streaming }: Config): Shown["to"] {
  if (stream === undefined) return "nowhere";
  if (streaming.public_url === "") return "elsewhere";
  return isSentTo(publicAddress(streaming.public_url, streaming.path), stream) ? "this receiver" : "elsewhere";
}

function rowOf({ log, to, stream, status }: Shown): readonly string[] {
  if (stream === undefined || status === undefined) return [log, to];
  const destination = `${stream.destinationType} ${displayUrl(stream.url)}`;
  const counts = [status.numEntriesSent ?? 0, status.numFailedRequests ?? 0].map(String);
  const error = status.lastError || "none";
  return [log, to, destination, stream.compressionFormat, activityOf(status) ?? "none", ...counts, error];
}
