/** Mistakes that show only when settings are looked at together. */
import { accessSync, constants } from "node:fs";
import { apiRules, credentials } from "./api-rules.ts";
import { type CollectedLog, collectedLogs, isPolled } from "./api-use.ts";
import { defaultOrigin, type Problem } from "./diagnosis.ts";
import { isLoopback, isSameListen, parseListen } from "./listen.ts";
import { bothOrNeither, type Rule } from "./rule.ts";
import { systemReason } from "./system-reason.ts";
import { givenAt, valueOf, type View } from "./view.ts";
import { webhookRules } from "./webhook-rules.ts";

/** What the rules find. A rule is passed over when one of its settings has a mistake of its own. */
export function findContradictions(view: View): readonly Problem[] {
  const found: Problem[] = [...unreadableFiles(view)];
  for (const { keys, find } of rules) {
    if (keys.some((key) => view.broken.has(key))) continue;
    const finding = find(view);
    if (finding === undefined) continue;
    const key = finding.key ?? keys.find((candidate) => givenAt(view, candidate) !== undefined) ?? keys[0] ?? "";
    found.push({ origin: givenAt(view, key) ?? defaultOrigin, ...finding, key });
  }
  return found;
}

/** The finding of a configuration that is right, and would do nothing. */
export function findNothingToDo({ config }: View): Problem | undefined {
  const isReceiving = config.streaming.enabled || config.webhook.enabled;
  if (isReceiving || collectedLogs.some((log) => isPolled(config, log))) return undefined;
  return {
    origin: defaultOrigin,
    key: "streaming.enabled",
    message: "nothing is enabled that could produce data",
    remedy: `To begin: set ${credentials}, so that the logs are polled. Or set streaming.enabled = true, streaming.token, and collectors.flowlogs.source and collectors.auditlogs.source to "stream" (as variables: TS2OTEL_STREAMING__ENABLED=true and so on), then let Tailscale's log streaming push to it. To look first: tailscale2otel demo.`,
  };
}

/** The receivers can share a listener, so two spellings of one address are the mistake there. */
const listenRules: readonly Rule[] = (
  [
    ["admin", "streaming"],
    ["admin", "webhook"],
    ["webhook", "streaming"],
  ] as const
).map(([one, other]) => ({
  keys: [`${one}.listen`, `${other}.listen`, `${one}.enabled`, `${other}.enabled`],
  find(view) {
    const { [one]: first, [other]: second } = view.config;
    const isShared = one === "webhook" && first.listen === second.listen;
    if (!first.enabled || !second.enabled || isShared || !isSameListen(first.listen, second.listen)) return undefined;
    const names = [`${one}.listen`, `${other}.listen`] as const;
    const [key, known] = givenAt(view, names[0]) === undefined ? [names[1], names[0]] : names;
    return { key, message: `${known} has the same address`, remedy: "Change one of them." };
  },
}));

const rules: readonly Rule[] = [
  ...collectedLogs.map(sourceNeedsReceiver),
  {
    keys: ["streaming.require_token", "streaming.token"],
    find: ({ config: { streaming } }) =>
      streaming.require_token && streaming.token === ""
        ? {
            message: "a token is required, and streaming.token is empty",
            remedy: "Set streaming.token or streaming.token_file, or streaming.require_token = false.",
          }
        : undefined,
  },
  {
    keys: ["streaming.tls.cert_file", "streaming.tls.key_file"],
    find: ({ config: { streaming } }) =>
      bothOrNeither(streaming.tls.cert_file, streaming.tls.key_file, [
        "streaming.tls.cert_file",
        "streaming.tls.key_file",
      ]),
  },
  ...webhookRules,
  ...apiRules,
  ...listenRules,
  {
    keys: ["admin.listen", "admin.token", "admin.enabled"],
    find: ({ config: { admin } }) =>
      admin.enabled && admin.token === "" && !isLoopback(parseListen(admin.listen)?.hostname)
        ? {
            message: `${JSON.stringify(admin.listen)} is not loopback, and admin.token is empty`,
            remedy: "Set admin.token or admin.token_file, or let admin.listen begin with 127.0.0.1.",
          }
        : undefined,
  },
  {
    keys: ["otlp.tls.cert_file", "otlp.tls.key_file"],
    find: ({ config: { otlp } }) =>
      bothOrNeither(otlp.tls.cert_file, otlp.tls.key_file, ["otlp.tls.cert_file", "otlp.tls.key_file"]),
  },
  {
    keys: ["otlp.grafana_cloud.instance_id", "otlp.grafana_cloud.token"],
    find: ({ config: { otlp } }) =>
      bothOrNeither(otlp.grafana_cloud.instance_id, otlp.grafana_cloud.token, [
        "otlp.grafana_cloud.instance_id",
        "otlp.grafana_cloud.token",
      ]),
  },
];

function sourceNeedsReceiver(log: CollectedLog): Rule {
  const key = `collectors.${log}.source`;
  return {
    keys: [key, "streaming.enabled"],
    find: ({ config: { collectors, streaming } }) =>
      collectors[log].enabled && collectors[log].source === "stream" && !streaming.enabled
        ? {
            message: '"stream" needs the receiver, and streaming.enabled is false',
            remedy: `Set streaming.enabled = true, or collectors.${log}.enabled = false.`,
          }
        : undefined,
  };
}

function unreadableFiles(view: View): readonly Problem[] {
  const found: Problem[] = [];
  for (const setting of view.settings) {
    const origin = givenAt(view, setting.key);
    if (setting.kind !== "file" || origin === undefined || view.broken.has(setting.key)) continue;
    const path = valueOf(view.config, setting);
    if (typeof path !== "string" || path === "") continue;
    try {
      accessSync(path, constants.R_OK);
    } catch (error) {
      found.push({
        origin,
        key: setting.key,
        message: `${JSON.stringify(path)} cannot be read: ${systemReason(error)}`,
        allowed: "the path of a readable file",
        remedy: "Fix the path, or let the user that runs this program read the file.",
      });
    }
  }
  return found;
}
