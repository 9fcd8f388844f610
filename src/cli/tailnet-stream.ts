/** `tailnet stream …`: where Tailscale sends its logs. */
import { type Config, displayUrl } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { fingerprintsIn, type Fingerprints } from "../tailscale/fingerprint.ts";
import { judgeLogStream, logNames, logStreamTargetOf, type LogStreamVerdict } from "../tailscale/log-stream-setting.ts";
import { activityOf } from "../tailscale/log-stream-view.ts";
import { publicAddress } from "../tailscale/public-address.ts";
import type { LogName, LogStream, LogStreamStatus } from "../tailscale/types.ts";
import { type Command, command } from "./command.ts";
import { repeatableConfigFlags } from "./sources.ts";
import { tableText } from "./table.ts";
import { isConfirmed, leaveAlone, openTailnet, showResult, tailnetFlags, yesFlag } from "./tailnet.ts";

const logChoices: (LogName | "both")[] = ["network", "configuration", "both"];

const logFlag = {
  log: {
    type: "enum" as const,
    options: logChoices,
    description: "Which log: that of flows, that of changes, or both. (Default: both)",
  },
};

export const tailnetStreamShowCommand: Command = command({
  name: "tailnet stream show",
  description: "Show where Tailscale sends its logs, and how that goes",
  args: { ...tailnetFlags, ...logFlag },
  repeatable: repeatableConfigFlags,
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
      shown.push({ log, stream, status: stream === undefined ? undefined : await api.logStreamStatus(log) });
    }
    await showResult(host, args.json, {
      json: shown.map((one) => jsonOf(one, config)),
      text: tableText(
        ["log", "to", "destination", "compression", "last activity", "entries", "failed requests", "last error"],
        shown.map((one) => rowOf(one, config)),
        host.out,
      ),
    });
    return 0;
  },
});

export const tailnetStreamSetCommand: Command = command({
  name: "tailnet stream set",
  description: "Let Tailscale send its logs to the stream receiver",
  args: { ...tailnetFlags, ...logFlag, ...yesFlag },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel tailnet stream set", "both logs, to streaming.public_url with streaming.token"],
    ["tailscale2otel tailnet stream set --log network --yes", "replaces what is there without asking"],
  ],
  notes:
    "Needs the scope log_streaming, and device_invites and policy_file for an address inside the tailnet. A stream that goes elsewhere is replaced only after a yes.",
  async run({ args, flags, host }) {
    const { config, api, stateDirectory } = openTailnet(flags, host, "streaming");
    requireReceiver(config);
    const target = logStreamTargetOf(config);
    const fingerprints = stateDirectory === undefined ? forgetful : fingerprintsIn(stateDirectory);
    const done: {
      readonly log: LogName;
      readonly verdict: LogStreamVerdict;
      readonly before: LogStream | undefined;
    }[] = [];
    for (const log of logsOf(args.log)) {
      const before = await api.logStream(log);
      const verdict = judgeLogStream(log, before, target, fingerprints);
      if (verdict === "foreign" && !(await isConfirmed(host, args.yes, replacement(log, before))))
        return leaveAlone(host);
      if (verdict !== "as_put") await api.putLogStream(log, target);
      if (verdict !== "as_put") fingerprints.keep(log, target);
      done.push({ log, verdict, before });
    }
    const url = displayUrl(target.url);
    await showResult(host, args.json, {
      json: done.map(({ log, verdict, before }) => ({
        log,
        url,
        changed: verdict !== "as_put",
        replaced: verdict === "foreign" ? displayUrl(before?.url ?? "") : null,
      })),
      text: done
        .map(({ log, verdict }) => `${log}: ${verdict === "as_put" ? "already" : "now"} sent to ${url}\n`)
        .join(""),
    });
    return 0;
  },
});

export const tailnetStreamRemoveCommand: Command = command({
  name: "tailnet stream remove",
  description: "Let Tailscale send its logs nowhere",
  args: { ...tailnetFlags, ...logFlag, ...yesFlag },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel tailnet stream remove --log configuration", "one of the logs"],
    ["tailscale2otel tailnet stream remove --yes", "both, without asking"],
  ],
  notes: "Needs the scope log_streaming. With streaming.auto_configure, the next start of the service sets it again.",
  async run({ args, flags, host }) {
    const { config, api, stateDirectory } = openTailnet(flags, host, "streaming");
    const done: { readonly log: LogName; readonly removed: string | null }[] = [];
    for (const log of logsOf(args.log)) {
      const before = await api.logStream(log);
      const url = before === undefined ? null : displayUrl(before.url);
      if (url !== null && !(await isConfirmed(host, args.yes, `Stop sending the ${log} log to ${url}?`)))
        return leaveAlone(host);
      if (url !== null) await api.deleteLogStream(log);
      if (stateDirectory !== undefined) fingerprintsIn(stateDirectory).forget(log);
      done.push({ log, removed: url });
    }
    await showResult(host, args.json, {
      json: done,
      text: done
        .map(({ log, removed }) => `${log}: ${removed === null ? "was sent nowhere" : `removed ${removed}`}\n`)
        .join(""),
    });
    if (config.streaming.auto_configure)
      await host.err.write("streaming.auto_configure is on: the next start of the service sets it again\n");
    return 0;
  },
});

function logsOf(flag: LogName | "both" | undefined): readonly LogName[] {
  return flag === undefined || flag === "both" ? logNames : [flag];
}

/** @throws {ConfigError} */
function requireReceiver({ streaming }: Config): void {
  const missing = [
    ...(streaming.public_url === ""
      ? ["streaming.public_url, the address at which Tailscale reaches the receiver"]
      : []),
    ...(streaming.token === "" ? ["streaming.token, which Tailscale is to send"] : []),
  ];
  if (missing.length > 0) throw new ConfigError(missing.map((what) => `the log streams cannot be set: set ${what}`));
}

function replacement(log: LogName, before: LogStream | undefined): string {
  return `The ${log} log goes to ${before?.destinationType ?? ""} ${displayUrl(before?.url ?? "")}. Replace that?`;
}

/** With state in memory nothing lasts that could be remembered. */
const forgetful: Pick<Fingerprints, "holds" | "keep"> = { holds: () => false, keep() {} };

interface Shown {
  readonly log: LogName;
  readonly stream: LogStream | undefined;
  readonly status: LogStreamStatus | undefined;
}

type Place = "this receiver" | "elsewhere" | "nowhere";

function placeOf({ log, stream }: Shown, { streaming }: Config): Place {
  if (stream === undefined) return "nowhere";
  if (streaming.public_url === "") return "elsewhere";
  const url = publicAddress(streaming.public_url, streaming.path);
  const target = { url, user: "", token: "", compressionFormat: "none" } as const;
  return judgeLogStream(log, stream, target, forgetful) === "foreign" ? "elsewhere" : "this receiver";
}

function jsonOf(shown: Shown, config: Config): object {
  const { log, stream, status } = shown;
  return {
    log,
    to: placeOf(shown, config),
    stream: stream === undefined ? null : { ...stream, url: displayUrl(stream.url) },
    status: status ?? null,
  };
}

function rowOf(shown: Shown, config: Config): readonly string[] {
  const { log, stream, status } = shown;
  if (stream === undefined || status === undefined) return [log, placeOf(shown, config)];
  return [
    log,
    placeOf(shown, config),
    `${stream.destinationType} ${displayUrl(stream.url)}`,
    stream.compressionFormat,
    activityOf(status) ?? "none",
    String(status.entriesSent),
    String(status.failedRequests),
    status.lastError === "" ? "none" : status.lastError,
  ];
}
