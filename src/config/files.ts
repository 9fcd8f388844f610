/** Finds, reads and checks the configuration file and the files it names, as `run` will use them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { constants, lstatSync, type Stats, statSync } from "node:fs";
import { resolve } from "node:path";
import { readRegularFile } from "../lib/regular-file.ts";
import { describeOrigin, type Finding, givenAt, type Inspection } from "./diagnosis.ts";
import { type ConfigSources, configVariable } from "./layers.ts";
import { destinationSections, settingsOf, valueAt } from "./schema.ts";

const usualFiles = ["tailscale2otel.toml", "/etc/tailscale2otel/config.toml"];
/** For process substitution, `--config <(sops decrypt …)`, which may prompt the user. */
const pipeWaitMs = 10_000;

/** The configuration file by the name the user gave, with its text or the reason why there is none. */
export interface ConfigFile {
  readonly path: string;
  /** What gave an empty path. */
  readonly label?: string;
  readonly text?: string;
  readonly stats?: Stats;
  readonly isMissing?: boolean;
  readonly message?: string;
  readonly remedy?: string;
}

/**
 * Opens the named file, or else the first that exists in the usual places. A file that is not named must be trusted; if it is
 * not, no other file is read instead.
 */
export function openConfigFile({
  configPath,
  configText,
  environment,
  workingDirectory,
  isReload,
  system: { uid },
}: ConfigSources): ConfigFile | undefined {
  const named = configPath ?? environment[configVariable];
  if (named !== undefined && configText !== undefined) return { path: named, text: configText };
  if (named === "") {
    const label = configPath === undefined ? configVariable : "--config";
    const remedy = `Name a file, or remove ${label}: then ${usualFiles.join(" or ")} is used.`;
    return { path: "", label, message: "the path of the configuration file is empty", remedy };
  }
  if (named !== undefined) {
    const mayBePipe = configPath !== undefined && isReload !== true;
    return readConfigFile(named, workingDirectory, mayBePipe ? pipeWaitMs : 0);
  }
  for (const path of usualFiles) {
    const place = resolve(workingDirectory, path);
    const remedy = `If it is yours, correct its owner and run chmod go-w ${path}; or name a file with --config or ${configVariable}.`;
    const refused = (reason: string) => ({
      path,
      message: `cannot be read: it is not trusted, because ${reason}`,
      remedy,
    });
    const untrusted = uid === undefined ? undefined : whyUntrusted(place, uid);
    if (untrusted !== undefined) return refused(untrusted);
    const file = readConfigFile(path, workingDirectory);
    if (file.isMissing === true) continue;
    // The file may have been replaced between the two checks.
    const replaced = uid === undefined || file.stats === undefined ? undefined : whyForeign(file.stats, uid);
    return replaced === undefined ? file : refused(replaced);
  }
  return undefined;
}

function readConfigFile(path: string, workingDirectory: string, waitMs = 0): ConfigFile {
  const read = readRegularFile(resolve(workingDirectory, path), undefined, waitMs);
  if ("text" in read) return { path, ...read };
  const isMissing = read.code === "ENOENT" || read.code === "ENOTDIR";
  const remedy = `Name a regular, readable TOML file with --config or ${configVariable}.`;
  return { path, isMissing, message: `cannot be read: ${read.reason}`, remedy };
}

/**
 * Why a file in a usual place must not be trusted: whoever can write to it decides where credentials are sent. It is checked
 * before it is opened, because another user's file could be a link or a pipe. Group write access counts only if the group is
 * not the owner's own, as with a umask of 0002.
 */
function whyUntrusted(path: string, user: number | undefined): string | undefined {
  if (user === undefined) return undefined;
  try {
    return [lstatSync(path), statSync(path)]
      .map((stats) => whyForeign(stats, user))
      .find((reason) => reason !== undefined);
  } catch {
    // Reading a missing or inaccessible file fails later anyway.
    return undefined;
  }
}

export function whyForeign(stats: Pick<Stats, "uid" | "gid" | "mode">, user: number): string | undefined {
  const { uid, gid, mode } = stats;
  if (uid !== user && uid !== 0) return `it belongs to another user (uid ${uid})`;
  const isLink = (mode & constants.S_IFMT) === constants.S_IFLNK;
  const isShared = (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== uid);
  return isShared && !isLink ? `other users can write to it (mode ${formatMode(mode)})` : undefined;
}

function formatMode(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, "0");
}

/** A certificate and its key, both PEM. */
export interface PemPair {
  readonly certFile: string;
  readonly keyFile: string;
  readonly certificate: string;
  readonly key: string;
}

/** Why a pair cannot be used at `now` (epoch milliseconds). The parser's message is left out, because it may quote the key. */
export function whyUnusablePair({ certFile, keyFile, certificate, key }: PemPair, now: number): string | undefined {
  const leaf = parsed(() => new X509Certificate(certificate));
  if (leaf === undefined) return `${certFile} contains no PEM certificate`;
  const privateKey = parsed(() => createPrivateKey(key));
  if (privateKey === undefined) return `${keyFile} contains no PEM private key without a passphrase`;
  if (!leaf.checkPrivateKey(privateKey)) return `${keyFile} is not the key of the certificate in ${certFile}`;
  if (now > Date.parse(leaf.validTo)) return `the certificate in ${certFile} has expired (${leaf.validTo})`;
  if (now >= Date.parse(leaf.validFrom)) return undefined;
  return `the certificate in ${certFile} is not valid before ${leaf.validFrom}`;
}

/** Problems with the files named in the settings, as `run` would find them. */
export function fileProblems({ config, origins, broken }: Inspection): readonly Finding[] {
  const found: Finding[] = [];
  const texts = new Map<string, string>();
  const add = (key: string, message: string, remedy: string, onlyAtStart: boolean) =>
    void found.push({ severity: "error", origin: givenAt(origins, key), key, message, remedy, onlyAtStart });
  for (const { kind, key, path: parts } of settingsOf(config)) {
    if (kind !== "file" || broken.has(key)) continue;
    const path = String(valueAt(config, key));
    const read = path === "" ? { text: "" } : readRegularFile(path);
    if ("text" in read) texts.set(key, read.text);
    // A listener watches its own files and keeps its certificate if they become unusable.
    else
      add(
        key,
        `cannot read ${path}: ${read.reason}`,
        "Name a regular file that this program can read.",
        parts[0] !== "otlp",
      );
  }
  const ofOtlp = destinationSections(config).map(([at, { tls }]) => [at, tls] as const);
  const ofListeners = (["streaming", "webhook", "admin"] as const).flatMap((name) =>
    config[name].enabled ? [[name, config[name].tls] as const] : [],
  );
  const pairs = [...ofListeners, ["state", config.state.tls] as const, ...ofOtlp];
  for (const [name, { cert_file: certFile, key_file: keyFile }] of pairs) {
    const isUsed = certFile !== "" && keyFile !== "";
    const [certificate, key] = [texts.get(`${name}.tls.cert_file`), texts.get(`${name}.tls.key_file`)];
    if (!isUsed || certificate === undefined || key === undefined) continue;
    const reason = whyUnusablePair({ certFile, keyFile, certificate, key }, Date.now());
    const remedy = `Set ${name}.tls.cert_file and ${name}.tls.key_file to a valid certificate and its key, both PEM.`;
    if (reason !== undefined) add(`${name}.tls.cert_file`, reason, remedy, true);
  }
  return found;
}

/** Secrets that other users of this machine can read. */
export function exposedSecrets({ config, origins, configFile, mode = 0 }: Inspection): readonly Finding[] {
  const secrets = settingsOf(config).filter(({ isSecret }) => isSecret);
  const given = [...origins].flatMap(([key, origin]) => {
    const setting = secrets.find((one) => key === one.key || key.startsWith(`${one.key}.`));
    return setting === undefined || origin.secretFile !== undefined ? [] : [{ key, origin, setting }];
  });
  const found = given
    .filter(({ origin }) => origin.from === "flag")
    .map(({ key, setting }): Finding => {
      const message = "it was given as a flag, and every user of this machine can read the arguments of a process";
      const withFile = setting.kind === "secret" ? `--set ${key}_file=PATH with the secret in that file, or ` : "";
      return { severity: "warning", key, message, remedy: `Use ${withFile}a variable or the configuration file.` };
    });
  const inFile = given.find(({ origin }) => origin.from === "file");
  if (inFile === undefined || (mode & 0o027) === 0) return found;
  const message = `${describeOrigin(inFile.origin)} contains a secret, and other users can read or write the file (mode ${formatMode(mode)})`;
  return [...found, { severity: "warning", key: inFile.key, message, remedy: `Run: chmod 600 ${configFile}` }];
}

function parsed<Value>(parse: () => Value): Value | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
