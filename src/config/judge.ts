/** Judges a configuration as a whole: by the rules, by the files that it names, and by what has no effect. */
import { defaultOrigin, describeOrigin, type Origin, type Problem, type Warning } from "./diagnosis.ts";
import { formatMode, readBounded, whyUnreadable, whyUnusablePair } from "./files.ts";
import { ineffectiveSettings } from "./ineffective.ts";
import { credentialKeys, errors, receivers, type Rule, type Text } from "./rules.ts";
import { collectedLogs, type Config, isPolled, settings, valueOf } from "./schema.ts";
import { warnings } from "./warnings.ts";

/** A configuration with where its values come from. */
export interface Judged {
  readonly config: Config;
  readonly origins: ReadonlyMap<string, Origin>;
  /** Settings with a problem of their own: rules about them are skipped. */
  readonly broken: ReadonlySet<string>;
  /** The configuration file and its permission bits. */
  readonly file?: { readonly path: string; readonly mode: number };
}

/** All problems, or if there are none, all warnings: broken settings have their default, which would mislead. */
export function judge(
  judged: Judged,
  known: readonly Problem[] = [],
): { readonly problems: readonly Problem[]; readonly warnings: readonly Warning[] } {
  const problems = [...fileProblems(judged), ...findings(errors, judged)];
  if (known.length + problems.length > 0) return { problems, warnings: [] };
  const isGiven = (key: string): boolean => givenAt(judged.origins, key) !== undefined;
  const ineffective = ineffectiveSettings(judged.config, isGiven);
  if (isIdle(judged.config)) return { problems: [nothingToDo], warnings: ineffective };
  const found = findings(warnings, judged).map(({ key, message, remedy }) => ({ key, message, remedy }));
  return { problems, warnings: [...found, ...exposedSecrets(judged), ...ineffective] };
}

/** A finding is placed at the first key of its rule that is set somewhere. */
function findings(rules: readonly Rule[], { config, origins, broken }: Judged): readonly Problem[] {
  return rules.flatMap(({ keys, when, message, remedy }) => {
    if (keys.some((key) => broken.has(key)) || !when(config)) return [];
    const key = keys.find((candidate) => givenAt(origins, candidate) !== undefined) ?? keys[0] ?? "";
    const origin = givenAt(origins, key) ?? defaultOrigin;
    return [{ origin, key, message: textOf(message, config), remedy: textOf(remedy, config) }];
  });
}

const nothingToDo: Problem = {
  origin: defaultOrigin,
  key: "streaming.enabled",
  message: "nothing is enabled that could produce data",
  remedy: `To start, set ${credentialKeys} to poll the logs. Or set streaming.enabled = true, streaming.token, and "stream" as collectors.flowlogs.source and collectors.auditlogs.source (as variables: TS2OTEL_STREAMING__ENABLED=true and so on), and let Tailscale log streaming push to it. To look around first: tailscale2otel demo.`,
};

function isIdle(config: Config): boolean {
  return !config.streaming.enabled && !config.webhook.enabled && !collectedLogs.some((log) => isPolled(config, log));
}

function textOf(text: Text, config: Config): string {
  return typeof text === "string" ? text : text(config);
}

/** Where a setting was set; `undefined` if it has its default. A map is set where its first entry is. */
function givenAt(origins: ReadonlyMap<string, Origin>, key: string): Origin | undefined {
  const origin = origins.get(key) ?? [...origins].find(([entry]) => entry.startsWith(`${key}.`))?.[1];
  return origin?.from === "default" ? undefined : origin;
}

/** What `run` would fail with because of the files that the settings name. */
function fileProblems({ config, origins, broken }: Judged): readonly Problem[] {
  const found: Problem[] = [];
  const add = (key: string, message: string | undefined, remedy: string, scope: { onlyAtStart?: true } = {}): void => {
    const origin = givenAt(origins, key) ?? defaultOrigin;
    if (message !== undefined && !broken.has(key)) found.push({ origin, key, message, remedy, ...scope });
  };
  for (const setting of settings.filter(({ kind }) => kind === "file")) {
    const path = valueOf(config, setting);
    const reason = typeof path === "string" && path !== "" ? whyUnreadable(path) : undefined;
    const message = reason && `cannot read ${JSON.stringify(path)}: ${reason}`;
    const remedy = "Correct the path, or make the file readable for the user of this program.";
    add(setting.key, message, remedy, setting.path[0] === "otlp" ? {} : atStart);
  }
  for (const name of [...receivers, "otlp"] as const) {
    const { tls } = config[name];
    const isUsed = name === "otlp" || config[name].enabled;
    const [certificate, key] = [tls.cert_file, tls.key_file].map((file) => readBounded(file, maxPemBytes));
    if (!isUsed || certificate === undefined || key === undefined || "reason" in certificate || "reason" in key)
      continue;
    const pems = { certFile: tls.cert_file, keyFile: tls.key_file, certificate: certificate.text, key: key.text };
    const remedy = `Set ${name}.tls.cert_file and ${name}.tls.key_file to a valid certificate and its key, both PEM.`;
    add(`${name}.tls.cert_file`, whyUnusablePair(pems, Date.now()), remedy, atStart);
  }
  return found;
}

const maxPemBytes = 1024 * 1024;

const atStart = { onlyAtStart: true } as const;

/** Secrets that others on this machine can read. */
function exposedSecrets({ origins, file }: Judged): readonly Warning[] {
  const isOf = (key: string, setting: { readonly key: string }): boolean =>
    key === setting.key || key.startsWith(`${setting.key}.`);
  const given = settings.flatMap((setting) =>
    setting.isSecret
      ? [...origins]
          .filter(([key, { secretFile }]) => isOf(key, setting) && secretFile === undefined)
          .map(([key, origin]) => ({ key, origin, hasFile: setting.kind === "secret" }))
      : [],
  );
  const inFlags = given.filter(({ origin }) => origin.from === "flag");
  const inFile = given.find(({ origin }) => origin.from === "file");
  return [
    ...inFlags.map(({ key, hasFile }) => ({
      key,
      message: "it was given as a flag, and every user of this machine can read the arguments of a process",
      remedy: `${hasFile ? `Use --set ${key}_file=PATH with the secret in that file, or` : "Use"} a variable or the configuration file.`,
    })),
    ...(file === undefined || inFile === undefined || (file.mode & 0o027) === 0
      ? []
      : [
          {
            key: inFile.key,
            message: `${describeOrigin(inFile.origin)} contains a secret, and other users can read or write the file (mode ${formatMode(file.mode)})`,
            remedy: `Run: chmod 600 ${file.path}`,
          },
        ]),
  ];
}
