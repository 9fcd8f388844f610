/** The choices a user makes during setup, and the configuration file generated from them. */
import { randomBytes } from "node:crypto";

export type LogSource = "stream" | "poll" | "both";

/** How Tailscale reaches the stream receiver. `name`: this machine's full name in the tailnet. */
export type Reach =
  | { readonly kind: "tailnet"; readonly name: string }
  | { readonly kind: "certificate"; readonly name: string }
  | { readonly kind: "public"; readonly url: string };

/** A secret as text, or the file that holds it. */
export type Secret = { readonly text: string } | { readonly file: string };

export interface Backend {
  /** Empty: nothing is exported yet. */
  readonly endpoint: string;
  readonly grafana?: { readonly instanceId: string; readonly token: Secret };
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

export interface Answers {
  readonly source: LogSource;
  readonly backend: Backend;
  /** Absent if nothing is streamed. */
  readonly reach?: Reach;
  /** Without a secret, the section is commented out, unless the program creates the webhook itself. */
  readonly webhook?: { readonly url: string; readonly secret?: Secret };
  /** Required for polling. With it, the program also sets up log streams and the webhook itself. */
  readonly oauth?: { readonly clientId: string; readonly clientSecret: Secret };
  /** The token Tailscale sends with its logs. */
  readonly streamToken: string;
}

/** A token of 192 bits in hexadecimal, which needs no quoting anywhere. */
export function freshToken(): string {
  return randomBytes(24).toString("hex");
}

/** A setting as written to the file. */
type Line = readonly [key: string, value: string | boolean, comment?: string];

/** A table of the configuration file. */
interface Section {
  readonly name: string;
  readonly comment: string;
  readonly lines: readonly Line[];
  /** Writes its lines as comments, because something is missing. */
  readonly isOff?: true;
}

export const streamPort = 8088;

/** The address Tailscale sends to, without the receiver's path. */
export function streamUrlOf(reach: Reach): string {
  switch (reach.kind) {
    case "tailnet":
      return `http://${reach.name}:${streamPort}`;
    case "certificate":
      return `https://${reach.name}:${streamPort}`;
    case "public":
      return reach.url;
  }
}

/** The webhook port. A public host leads to one port, so a host shared with the stream also means the stream's port. */
export function webhookPortOf({ reach, webhook }: Pick<Answers, "reach" | "webhook">): number {
  const isShared =
    reach?.kind === "public" && webhook !== undefined && new URL(reach.url).host === new URL(webhook.url).host;
  return isShared ? streamPort : 8089;
}

/** The scopes the OAuth client needs. */
export function scopesFor({
  source,
  reach,
  webhook,
}: Pick<Answers, "source" | "reach" | "webhook">): readonly string[] {
  const isPrivate = reach !== undefined && reach.kind !== "public";
  return [
    ...(source === "stream" ? [] : ["logs:network:read", "logs:configuration:read"]),
    "devices:core:read",
    ...(reach === undefined ? [] : ["log_streaming"]),
    ...(isPrivate ? ["device_invites", "policy_file"] : []),
    ...(webhook === undefined ? [] : ["webhooks"]),
  ];
}

/** The file as commented TOML. `version`: the version of the program that writes it. */
export function fileText(answers: Answers, version: string): string {
  const head = [
    `# Configuration of tailscale2otel, written by: tailscale2otel init (${version})`,
    "#",
    "# It holds secrets: only its user may read it.",
    "# tailscale2otel check shows every setting, and what is wrong with one. All of them: docs/configuration.md",
    ...(answers.backend.endpoint === ""
      ? ["#", '# Nothing is exported yet. To change that: [otlp] endpoint, for example "http://127.0.0.1:4318"']
      : []),
  ];
  return `${[head.join("\n"), ...sectionsOf(answers).map(sectionText)].join("\n\n")}\n`;
}

/** `key=value` for each setting, as with `--set`, to check the configuration before it is written. */
export function assignmentsOf(answers: Answers): readonly string[] {
  return sectionsOf(answers).flatMap(({ name, lines, isOff }) =>
    isOff === true ? [] : lines.map(([key, value]) => `${name}.${key}=${String(value)}`),
  );
}

/** The settings to write, in the order of the file. */
function sectionsOf(answers: Answers): readonly Section[] {
  const { source, backend, reach, webhook, oauth } = answers;
  return [
    ...(reach === undefined ? [] : streamSections(reach, answers)),
    ...(webhook === undefined ? [] : [webhookSection(webhook, answers)]),
    ...(["flowlogs", "auditlogs"] as const).map((name) => collectorSection(name, source)),
    ...(oauth === undefined ? [] : [oauthSection(oauth, answers)]),
    ...backendSections(backend),
  ];
}

function streamSections(reach: Reach, { streamToken, oauth }: Answers): readonly Section[] {
  const [host, who] =
    reach.kind === "public"
      ? ["127.0.0.1", `Only for a proxy on this machine. If yours is on another one: ":${streamPort}"`]
      : ["", "All interfaces; every request needs the token."];
  const main: Section = {
    name: "streaming",
    comment: "Tailscale's log streaming sends to this receiver, as it would to Splunk.",
    lines: [
      ["enabled", true],
      ["listen", `${host}:${streamPort}`, who],
      ["token", streamToken, "The token that is entered in Tailscale."],
      ["public_url", streamUrlOf(reach), "Where Tailscale reaches the receiver."],
      ...(oauth === undefined ? [] : [automatic("Each start sets up both log streams at Tailscale.")]),
    ],
  };
  if (reach.kind !== "certificate") return [main];
  const tls: Section = {
    name: "streaming.tls",
    comment: "The certificate of this machine's name, from tailscaled, which also renews it.",
    lines: [["tailscale", true]],
  };
  return [main, tls];
}

function webhookSection({ url, secret }: NonNullable<Answers["webhook"]>, answers: Answers): Section {
  const isCreated = answers.oauth !== undefined && secret === undefined;
  const secretOrPlace = secret ?? { text: "tskey-webhook-…" };
  return {
    name: "webhook",
    comment: "Tailscale's webhooks: events of the tailnet, within seconds.",
    ...(secret === undefined && !isCreated ? { isOff: true as const } : {}),
    lines: [
      ["enabled", true],
      ["listen", `127.0.0.1:${webhookPortOf(answers)}`, "For the proxy, or Tailscale Funnel, on this machine."],
      ...(isCreated ? [] : [secretLine("secret", secretOrPlace, "As Tailscale showed it.")]),
      ["public_url", url, "Where Tailscale reaches the receiver."],
      ...(isCreated ? [automatic("The first start creates the webhook, and keeps its secret.")] : []),
    ],
  };
}

const automatic = (comment: string): Line => ["auto_configure", true, comment];

const collectorComments = {
  flowlogs: "Network flow logs: who talks to whom.",
  auditlogs: "Configuration audit logs: who changed what.",
};

function collectorSection(name: "flowlogs" | "auditlogs", source: LogSource): Section {
  const comments: Readonly<Record<LogSource, string>> = {
    stream: "Received only.",
    poll: "Read from Tailscale's API every minute.",
    both: "Received, and read from the API to fill gaps. Each record counts once.",
  };
  return {
    name: `collectors.${name}`,
    comment: collectorComments[name],
    lines: [["source", source, comments[source]]],
  };
}

function oauthSection({ clientId, clientSecret }: NonNullable<Answers["oauth"]>, answers: Answers): Section {
  return {
    name: "tailscale.auth.oauth",
    comment: `OAuth client of the tailnet, with the scopes ${scopesFor(answers).join(", ")}.`,
    lines: [["client_id", clientId], secretLine("client_secret", clientSecret)],
  };
}

function backendSections({ endpoint, grafana, headers = [] }: Backend): readonly Section[] {
  if (endpoint === "") return [];
  const main: Section = {
    name: "otlp",
    comment: "Where metrics and logs are exported.",
    lines: [["endpoint", endpoint, "/v1/metrics and /v1/logs are appended."]],
  };
  const credentials: Section[] = [];
  if (grafana !== undefined)
    credentials.push({
      name: "otlp.grafana_cloud",
      comment: "Credentials of Grafana Cloud.",
      lines: [["instance_id", grafana.instanceId], secretLine("token", grafana.token)],
    });
  if (headers.length > 0)
    credentials.push({
      name: "otlp.headers",
      comment: "Headers of every request.",
      lines: headers,
    });
  return [main, ...credentials];
}

function secretLine(key: string, secret: Secret, comment?: string): Line {
  if ("file" in secret) return [`${key}_file`, secret.file];
  return comment === undefined ? [key, secret.text] : [key, secret.text, comment];
}

function sectionText({ name, comment, lines, isOff }: Section): string {
  const texts = lines.flatMap(([key, value, remark]) => [
    ...(remark === undefined ? [] : [`# ${remark}`]),
    // A JSON string is a valid TOML string, except for one character.
    `${/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)} = ${JSON.stringify(value).replaceAll("\u007f", "\\u007f")}`,
  ]);
  if (isOff !== true) return [`# ${comment}`, `[${name}]`, ...texts].join("\n");
  const missing = "# Off until there is a secret: put it in, and remove the # of the lines with a setting.";
  return [`# ${comment}`, missing, ...[`[${name}]`, ...texts].map((line) => `# ${line}`)].join("\n");
}
