/** Judges a configuration as a whole: by the rules, by the files that it names, and by what has no effect. */
import { defaultOrigin, describeOrigin, type Origin, type Problem, type Warning } from "./diagnosis.ts";
import { formatMode, readBounded, whyUnusablePair } from "./files.ts";
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
  const texts = new Map<string, string>();
  const add = (key: string, message: string, remedy: string, scope: Pick<Problem, "onlyAtStart">): void => {
    found.push({ origin: givenAt(origins, key) ?? defaultOrigin, key, message, remedy, ...scope });
  };
  for (const setting of settings.filter(({ kind, key }) => kind === "file" && !broken.has(key))) {
    const path = String(valueOf(config, setting));
    const read = path === "" ? { text: "" } : readBounded(path, maxPemBytes);
    if ("text" in read) texts.set(setting.key, read.text);
    else {
      const scope = setting.path[0] === "otlp" ? {} : atStart;
      add(setting.key, `cannot read ${path}: ${read.reason}`, "Correct the path, or the file's permissions.", scope);
    }
  }
  for (const name of [...receivers, "otlp"] as const) {
    const { cert_file: certFile, key_file: keyFile } = config[name].tls;
    const isUsed = certFile !== "" && keyFile !== "" && (name === "otlp" || config[name].enabled);
    const [certificate, key] = [texts.get(`${name}.tls.cert_file`), texts.get(`${name}.tls.key_file`)];
    if (!isUsed || certificate === undefined || key === undefined) continue;
    const reason = whyUnusablePair({ certFile, keyFile, certificate, key }, Date.now());
    const remedy = `Set ${name}.tls.cert_file and ${name}.tls.key_file to a valid certificate and its key, both PEM.`;
    if (reason !== undefined) add(`${name}.tls.cert_file`, reason, remedy, atStart);
  }
  return found;
}

const maxPemBytes = 1024 * 1024;

/** A listener watches its own files, and keeps its certificate if they cannot be used. */
const atStart = { onlyAtStart: true } as const;

/** Secrets that others on this machine can read. */
function exposedSecrets({ origins, file }: Judged): readonly Warning[] {
  const given = [...origins].flatMap(([key, origin]) => {
    const setting = settings.find((one) => one.isSecret && (key === one.key || key.startsWith(`${one.key}.`)));
    return setting === undefined || origin.secretFile !== undefined ? [] : [{ key, origin, setting }];
  });
  const found: Warning[] = given
    .filter(({ origin }) => origin.from === "flag")
    .map(({ key, setting }) => ({
      key,
      message: "it was given as a flag, and every user of this machine can read the arguments of a process",
      remedy: `${setting.kind === "secret" ? `Use --set ${key}_file=PATH with the secret in that file, or` : "Use"} a variable or the configuration file.`,
    }));
  const inFile = given.find(({ origin }) => origin.from === "file");
  if (file !== undefined && inFile !== undefined && (file.mode & 0o027) !== 0) {
    const message = `${describeOrigin(inFile.origin)} contains a secret, and other users can read or write the file (mode ${formatMode(file.mode)})`;
    found.push({ key: inFile.key, message, remedy: `Run: chmod 600 ${file.path}` });
  }
  return found;
}
