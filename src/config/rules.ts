/** Rules for combinations of settings: when each applies, what is wrong, and what to do. */
import { isLoopback, isTailnetAddress, overlaps, parseListen } from "../lib/listen.ts";
import { describeFinding, type Finding, givenAt, type Inspection, type Rule } from "./diagnosis.ts";
import { exposedSecrets, fileProblems } from "./files.ts";
import { endpointsOf, ineffectiveSettings } from "./ineffective.ts";
import { inputRules, isLocal } from "./rules-inputs.ts";
import { otlpRules, together } from "./rules-otlp.ts";
import { parsePostgresUrl } from "./postgres-url.ts";
import { tailnetRules } from "./rules-tailnet.ts";
import { usesTls } from "./schema-inputs.ts";
import { collectedLogs, type Config, isPolled } from "./schema.ts";
import { type TailnetConfig, tailnetConfigs, withKeysOf } from "./tailnets.ts";

/** All problems or, if there are none, all warnings, because invalid settings would mislead. */
export function judge(judged: Inspection): {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
} {
  const tailnets = tailnetConfigs(judged.config);
  const found = [
    ...tailnetRules(judged.config).flatMap((rule) => apply(rule, judged, { keyOf: (key) => key })),
    ...tailnets.flatMap((tailnet) => rulesFor(tailnet.config).flatMap((rule) => apply(rule, judged, tailnet))),
  ];
  // A problem in a shared setting is found for every tailnet.
  const distinct = [...new Map(found.map((finding) => [describeFinding(finding), finding])).values()];
  const of = (severity: Finding["severity"]) => distinct.filter((finding) => finding.severity === severity);
  const problems = [...fileProblems(judged), ...of("error")];
  if (judged.problems.length + problems.length > 0) return { problems, warnings: [] };
  const ineffective = ineffectiveFor(tailnets, judged);
  if (tailnets.every(({ config }) => isIdle(config)))
    return { problems: [named(nothingToDo, tailnets[0])], warnings: ineffective };
  return { problems, warnings: [...of("warning"), ...exposedSecrets(judged), ...ineffective] };
}

/** Where a setting of one tailnet is set. */
type Keys = Pick<TailnetConfig, "keyOf">;

/** The finding with its keys as written in the section of the tailnet. */
function named(finding: Finding, keys: Keys): Finding {
  return {
    ...finding,
    key: keys.keyOf(finding.key),
    message: withKeysOf(keys, finding.message),
    remedy: withKeysOf(keys, finding.remedy),
  };
}

function apply(
  { severity, keys, when, message, remedy }: Rule,
  { origins, broken }: Inspection,
  tailnet: Keys,
): Finding[] {
  const { keyOf } = tailnet;
  if (!when || keys.some((key) => broken.has(keyOf(key)))) return [];
  const [first = ""] = keys;
  const texts = { severity, message, remedy };
  if (severity === "warning") return [named({ key: first, ...texts }, tailnet)];
  const key = keys.find((candidate) => givenAt(origins, keyOf(candidate)) !== undefined) ?? first;
  return [named({ key, origin: givenAt(origins, keyOf(key)), ...texts }, tailnet)];
}

/** A shared setting is ineffective only if it has no effect for any tailnet. */
function ineffectiveFor(tailnets: readonly TailnetConfig[], { origins }: Inspection): readonly Finding[] {
  const each = tailnets.map((tailnet) =>
    ineffectiveSettings(tailnet.config, (key) => givenAt(origins, tailnet.keyOf(key)) !== undefined).map((finding) =>
      named(finding, tailnet),
    ),
  );
  const everywhere = Map.groupBy(each.flat(), ({ key }) => key);
  return [...everywhere.values()].flatMap(([first, ...others]) => {
    if (first === undefined) return [];
    return first.key.startsWith("tailnet.") || others.length === tailnets.length - 1 ? [first] : [];
  });
}

const nothingToDo: Finding = {
  severity: "error",
  key: "streaming.enabled",
  message: "there is nothing to receive or poll",
  remedy:
    'Run tailscale2otel init, which writes a configuration. Or set tailscale.auth.oauth.client_id and client_secret (to poll), or streaming.enabled = true, streaming.token, and source = "stream" in collectors.flowlogs and collectors.auditlogs (to receive). To look around: tailscale2otel demo.',
};

function isIdle(config: Config): boolean {
  return !config.streaming.enabled && !config.webhook.enabled && !collectedLogs.some((log) => isPolled(config, log));
}

const signals = ["metrics", "logs"] as const;

function rulesFor(config: Config): readonly Rule[] {
  const { admin, state, webhook } = config;
  const silent = unaddressed(config);
  const isLocalMode = endpointsOf(config).length === 0;
  return [
    ...inputRules(config),
    {
      severity: "error",
      keys: ["admin.listen", "admin.token", "admin.enabled"],
      when: admin.enabled && admin.token === "" && !isLocal(admin),
      message: `${JSON.stringify(admin.listen)} is not loopback, but admin.token is empty`,
      remedy: "Set admin.token or admin.token_file, or listen on 127.0.0.1.",
    },
    ...(
      [
        ["admin", "streaming"],
        ["admin", "webhook"],
        ["webhook", "streaming"],
      ] as const
    ).map(([one, other]): Rule => {
      const { [one]: first, [other]: second } = config;
      return {
        severity: "error",
        keys: [`${one}.listen`, `${other}.listen`, `${one}.enabled`, `${other}.enabled`],
        when:
          first.enabled &&
          second.enabled &&
          !(one === "webhook" && first.listen === second.listen) &&
          overlaps(first.listen, second.listen),
        message: `${one}.listen (${first.listen}) and ${other}.listen (${second.listen}) overlap, so only one of them can be bound`,
        remedy:
          one === "webhook" ? "Change one of them, or make both the same to share a listener." : "Change one of them.",
      };
    }),
    {
      severity: "warning",
      keys: ["admin.listen"],
      // The tailnet encrypts traffic to this node's addresses in it.
      when:
        admin.enabled &&
        !isLocal(admin) &&
        !isTailnetAddress(parseListen(admin.listen)?.hostname ?? "") &&
        !usesTls(admin.tls),
      message: `${admin.listen} is not loopback and there is no TLS, so the admin token and all that is shown travel over plain HTTP`,
      remedy:
        "Set admin.tls.tailscale = true, or admin.tls.cert_file and admin.tls.key_file, or listen on 127.0.0.1 or this node's Tailscale address.",
    },
    ...(["streaming", "webhook", "admin"] as const).flatMap((name): readonly Rule[] => [
      ...together(config, `${name}.tls`, "cert_file", "key_file"),
      {
        severity: "error",
        keys: [`${name}.tls.tailscale`, `${name}.tls.cert_file`, `${name}.tls.key_file`],
        when: config[name].tls.tailscale && config[name].tls.cert_file + config[name].tls.key_file !== "",
        message: "the certificate comes either from tailscaled or from files, not from both",
        remedy: `Remove ${name}.tls.cert_file and ${name}.tls.key_file, or set ${name}.tls.tailscale = false.`,
      },
    ]),
    ...together(config, "tailscale.auth.oauth", "client_id", "client_secret"),
    ...otlpRules(config),
    ...together(config, "state.tls", "cert_file", "key_file"),
    {
      severity: "error",
      keys: ["state.schema"],
      when: state.schema.startsWith("pg_"),
      message: "names that begin with pg_ are PostgreSQL's own",
      remedy: "Use another one, for example tailscale2otel.",
    },
    {
      severity: "error",
      keys: ["state.url"],
      when: state.url !== "" && typeof parsePostgresUrl(state.url) === "string",
      message: `invalid address of a database: ${String(parsePostgresUrl(state.url))}`,
      remedy:
        "Use postgres://user:password@host:port/database?sslmode=verify-full, with special characters of the password percent-encoded.",
    },
    {
      severity: "warning",
      keys: ["state.url"],
      when: mayBeRead(state.url),
      message: "the connection to the database is not always encrypted, and the server's certificate is not verified",
      remedy: "Add sslmode=verify-full to it, and set state.tls.ca_file if the database has a CA of its own.",
    },
    {
      severity: "error",
      keys: ["webhook.auto_configure", "webhook.secret", "state.url"],
      when: webhook.enabled && webhook.auto_configure && webhook.secret === "" && state.url !== "",
      message: "it keeps the secret with one instance, and all that share the database of state.url need the same",
      remedy:
        "Set webhook.auto_configure = false, run tailscale2otel tailnet webhook create, and set webhook.secret of every instance to what it prints.",
    },
    {
      severity: "warning",
      keys: ["state.path"],
      when: state.path === ":memory:" && state.url === "",
      message: "state is kept in memory, so a restart loses undelivered records and resets counters",
      remedy: "Set state.path to a directory.",
    },
    {
      severity: "warning",
      keys: ["otlp.endpoint"],
      when: isLocalMode && silent.length > 0,
      message: `${silent.join(" and ")} are not exported, because no endpoint is set (local mode)`,
      remedy: "Set otlp.endpoint to export them to an OTLP backend.",
    },
    ...signals.map((signal): Rule => ({
      severity: "warning",
      keys: [`otlp.${signal}.endpoint`],
      when: !isLocalMode && silent.includes(signal),
      message: `${signal} are not exported, because they have no endpoint`,
      remedy: `Set otlp.${signal}.endpoint, or otlp.${signal}.enabled = false.`,
    })),
  ];
}

/** True if somebody between this machine and the database could read the traffic. */
function mayBeRead(url: string): boolean {
  const address = url === "" ? "" : parsePostgresUrl(url);
  if (typeof address === "string" || (address.sslMode !== "disable" && address.sslMode !== "prefer")) return false;
  return address.hosts.some(({ host }) => !host.startsWith("/") && !isLoopback(host));
}

/** The exported signals that have no endpoint. */
function unaddressed({ otlp }: Config): readonly string[] {
  if (otlp.protocol === "stdout" || otlp.endpoint !== "") return [];
  return signals.filter((signal) => otlp[signal].enabled && otlp[signal].endpoint === "");
}
