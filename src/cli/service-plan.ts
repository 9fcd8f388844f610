/** Plans what `service` installs, based on the configuration, program and system, or explains why it cannot. */
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type Config, type ConfigSources, findConfigFile, type Inspection, loadConfig } from "../config/index.ts";
import { settingsOf, valueAt } from "../config/schema.ts";
import { parseListen } from "../lib/listen.ts";
import { programCommand } from "../runtime/process.ts";
import type { Installation } from "../supervisor/installation.ts";
import { launchdInstallation } from "../supervisor/launchd.ts";
import {
  type NamedFile,
  serviceStateDirectory,
  serviceUser,
  type SystemUnit,
  systemInstallation,
  userInstallation,
} from "../supervisor/systemd.ts";
import type { Host } from "./terminal.ts";

export interface Plan {
  readonly installation: Installation;
  /** What else the user has to do. */
  readonly remarks: readonly string[];
}

/** @throws {Error} with what to do if a service could not run with this program or configuration. */
export function planService(host: Host, sources: ConfigSources, isUser: boolean): Plan {
  const environment = Object.fromEntries(
    Object.entries(host.environment).filter(([name]) => !/^(?:TS2OTEL_(?!CONFIG$)|OTEL_)/.test(name)),
  );
  const ofService: ConfigSources = { ...sources, environment };
  const found = findConfigFile(ofService);
  if (found === undefined)
    throw new Error(
      "there is no configuration file, and a service does not see the variables of this shell. Write /etc/tailscale2otel/config.toml (tailscale2otel init), or name a file with --config.",
    );
  const inspection = loadConfig(ofService);
  const configPath = resolve(host.workingDirectory, found);
  const program = programCommand();
  for (const path of [configPath, ...program]) assertNameable(path);
  const { platform, uid = 0 } = host.system;
  if (platform !== "linux" || isUser) {
    const remarks = platform === "linux" ? ["it stops when you log out, unless you run: loginctl enable-linger"] : [];
    return { installation: installationOn(host, isUser, { ...bareUnit, command: program, configPath }), remarks };
  }
  for (const file of program) {
    assertUsable(file);
    if (uid === 0) assertRootsAlone(file);
  }
  if ((statSync(configPath).mode & 0o002) !== 0)
    throw new Error(
      `every user may write to ${configPath}, and the service does what it says. Run: chmod o-w ${configPath}`,
    );
  return systemPlan(inspection, configPath, program);
}

function systemPlan({ config, origins }: Inspection, configPath: string, program: readonly string[]): Plan {
  const isMoved = ![serviceStateDirectory, ":memory:"].includes(config.state.path);
  if (isMoved && origins.get("state.path")?.from !== "default")
    throw new Error(
      `state.path is ${config.state.path}, but the service may write only to ${serviceStateDirectory}. Remove state.path from ${configPath}; to keep the state, move the directory to ${serviceStateDirectory}.`,
    );
  const listeners = [config.streaming, config.webhook, config.admin].filter(({ enabled }) => enabled);
  const hasFixedUser = listeners.some(({ tls }) => tls.tailscale);
  const ports = listeners.map(({ listen }) => parseListen(listen)?.port ?? 0);
  assertReadable(config, dirname(configPath));
  const files = namedFiles(config, origins);
  for (const { path } of files) assertNameable(path);
  const installation = systemInstallation({
    command: program,
    configPath,
    files,
    hasFixedUser,
    bindsLowPort: ports.some((port) => port > 0 && port < 1024),
    keepsState: config.state.path !== ":memory:",
  });
  const permit = `tailscaled must permit the service to have certificates: add TS_PERMIT_CERT_UID=${serviceUser} to /etc/default/tailscaled, then run: systemctl restart tailscaled`;
  return { installation, remarks: hasFixedUser ? [permit] : [] };
}

/** Files of secrets and certificates in the configuration. @throws {Error} for files that a flag cannot name. */
function namedFiles(config: Config, origins: Inspection["origins"]): readonly NamedFile[] {
  const secrets = [...origins].flatMap(([key, { secretFile }]) =>
    secretFile === undefined ? [] : [{ key: `${key}_file`, path: secretFile }],
  );
  const listed = secrets.find(({ key }) => /\.\d+\.|\[/.test(key));
  if (listed !== undefined)
    throw new Error(
      `the service cannot read ${listed.path} (${listed.key}). Write the secret itself into the configuration file, which only root has to be able to read.`,
    );
  return [...secrets, ...pemFiles(config).filter(({ item }) => item === undefined)];
}

/**
 * @throws {Error} for a TLS file of an additional destination that the service cannot read, because it is not passed on as a
 * copy.
 */
function assertReadable(config: Config, folder: string): void {
  for (const { key, path } of pemFiles(config).filter(({ item }) => item !== undefined)) {
    // A relative path would be resolved next to the copy of the configuration.
    if (dirname(path) !== folder && (statSync(path).mode & 0o004) !== 0) continue;
    throw new Error(
      `the service cannot read ${path} (${key}). Put it into another directory than the configuration, readable by everyone, and name it by its full path.`,
    );
  }
}

/** All certificates, keys and CAs in the configuration, because `run` reads even those of disabled features. */
function pemFiles(config: Config) {
  return settingsOf(config).flatMap(({ key, kind, item }) => {
    const path = kind === "file" ? String(valueAt(config, key)) : "";
    return path === "" ? [] : [{ key, path, item }];
  });
}

const bareUnit = { configPath: "", files: [], hasFixedUser: false, bindsLowPort: false, keepsState: true };

/** The location of the service's file, for commands that need no configuration. */
export function bareInstallation(host: Host, isUser: boolean): Installation {
  return installationOn(host, isUser, { ...bareUnit, command: programCommand() });
}

/** @throws {Error} on a system without a supported service manager. */
function installationOn({ environment, system }: Host, isUser: boolean, unit: SystemUnit): Installation {
  const { platform, homeDirectory, uid = 0 } = system;
  if (platform === "darwin") return launchdInstallation({ ...unit, homeDirectory, uid });
  if (platform !== "linux")
    throw new Error(`services can be installed on Linux with systemd and on macOS, not on ${platform}`);
  const configHome = environment["XDG_CONFIG_HOME"] || join(homeDirectory, ".config");
  return isUser ? userInstallation(unit, configHome) : systemInstallation(unit);
}

/** @throws {Error} unless it can run as a service, which does not see home directories and /tmp. */
function assertUsable(file: string): void {
  const remedy = "Install it first: sh install.sh --prefix /usr/local";
  if (/^\/(?:home|root|run\/user|tmp|var\/tmp)\//.test(file))
    throw new Error(`the service does not see ${file}: home and temporary directories are hidden from it. ${remedy}`);
  accessSync(file, constants.R_OK);
  if ((statSync(file).mode & 0o005) === 0)
    throw new Error(`other users may not run ${file}, and the service is one. Run: chmod a+rx ${file}`);
}

/** @throws {Error} for a path that would end a line of the service's file or continue on the next one. */
function assertNameable(path: string): void {
  if (/\p{Cc}|[\s\\]$/u.test(path))
    throw new Error(
      `the file of a service cannot name ${JSON.stringify(path)}. Rename it: no control characters, and neither a space nor a \\ at the end.`,
    );
}

/** @throws {Error} if a user other than root could replace the program, which a reload of the service runs as root. */
function assertRootsAlone(file: string): void {
  for (let path = realpathSync(file); ; path = dirname(path)) {
    const { uid, mode } = statSync(path);
    const isSticky = (mode & 0o1000) !== 0;
    if (uid !== 0 || ((mode & 0o002) !== 0 && !isSticky))
      throw new Error(
        `other users than root may change ${path}, and a reload of the service runs ${file} as root. Run: chown root ${path} && chmod o-w ${path}`,
      );
    if (path === dirname(path)) return;
  }
}
