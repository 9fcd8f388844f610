/** The systemd unit: its content, its location, and the commands that start and stop it. */
import { join } from "node:path";
import type { Installation, Step } from "./installation.ts";

export const unitName = "tailscale2otel.service";

/** The unit's state directory; with a dynamic user, systemd makes it a link into `/var/lib/private`. */
export const serviceStateDirectory = "/var/lib/tailscale2otel";

/** A fixed user for the service, because tailscaled issues certificates only to a user that its configuration can name. */
export const serviceUser = "tailscale2otel";

/** A file named in the configuration, which may be readable only by the service manager. */
export interface NamedFile {
  /** The setting that names it, ending in `_file` for a secret. */
  readonly key: string;
  readonly path: string;
}

export interface SystemUnit {
  /** The program, without arguments. */
  readonly command: readonly string[];
  readonly configPath: string;
  readonly files: readonly NamedFile[];
  /** Run as a permanent system user instead of a dynamic one. */
  readonly hasFixedUser: boolean;
  /** At least one listener has a port below 1024. */
  readonly bindsLowPort: boolean;
  /** True if the state directory is the unit's own. */
  readonly keepsState: boolean;
}

/** The system-wide service. */
export function systemInstallation(unit: SystemUnit): Installation {
  const user: Step = {
    command: ["useradd", "--system", "--user-group", "--no-create-home", `--home-dir=${serviceStateDirectory}`].concat(
      "--shell=/usr/sbin/nologin",
      serviceUser,
    ),
    unless: ["id", "--user", serviceUser],
  };
  // The service is stopped first: while it runs with a dynamic user, the user name is taken.
  const usual = steps();
  const stop: Step = { command: ["systemctl", "stop", unitName], mayFail: true };
  return {
    path: join("/etc/systemd/system", unitName),
    text: systemUnit(unit),
    ...usual,
    install: [...(unit.hasFixedUser ? [stop, user] : []), ...usual.install],
    logs: "journalctl --unit=tailscale2otel",
  };
}

/** A service for the current user, in that user's systemd instance. */
export function userInstallation(
  { command, configPath }: Pick<SystemUnit, "command" | "configPath">,
  configHome: string,
): Installation {
  return {
    path: join(configHome, "systemd/user", unitName),
    text: userUnit(command, configPath),
    ...steps("--user"),
    logs: "journalctl --user --unit=tailscale2otel",
  };
}

/** How the service starts and stops. `scope`: `--user` for a user's systemd instance. */
function steps(...scope: readonly string[]) {
  const systemctl = (...args: string[]): Step => ({ command: ["systemctl", ...scope, ...args] });
  return {
    isReachable: systemctl("show", "--property=Version"),
    install: [systemctl("daemon-reload"), systemctl("enable", unitName), systemctl("restart", unitName)],
    uninstall: { before: [systemctl("disable", "--now", unitName)], after: [systemctl("daemon-reload")] },
  };
}

/** The first line, which identifies a unit written by this program. */
export const mark = "# Written by: tailscale2otel service install";

const description = `[Unit]
Description=tailscale2otel, Tailscale logs to OpenTelemetry
Wants=network-online.target
After=network-online.target tailscaled.service`;

/**
 * systemd reads the configuration and the files it names as root and gives the service copies, so the originals can stay
 * readable by root alone. The copies are made at start, so a reload is a restart: the configuration is checked first, shutdown
 * is orderly, and nothing is lost because senders retry what was not answered.
 */
export function systemUnit({ command, configPath, files, hasFixedUser, bindsLowPort, keepsState }: SystemUnit): string {
  const credentials = files.map(({ key, path }) => ({ key, path, name: key.replace(/[^a-z_]/g, "-") }));
  const settings = credentials.flatMap(({ key, name }) => ["--set", `${key}=\${CREDENTIALS_DIRECTORY}/${name}`]);
  const start = [...command.map(quoted), "run", "--config", "${CREDENTIALS_DIRECTORY}/config.toml", ...settings];
  const capability = bindsLowPort ? "CAP_NET_BIND_SERVICE" : "";
  return `${mark}
${description}

[Service]
Type=exec
ExecStart=${start.join(" ")}
# A reload is a restart with a valid configuration: systemd passes copies of the files, and makes them only at a start.
# The check runs as root, to read the files; so it leaves out the state, which belongs to the user of the service.
ExecReload=+${command.map(quoted).join(" ")} check --changed --config ${quoted(configPath)} --set state.path=:memory:
ExecReload=/bin/kill -TERM $MAINPID
${[`config.toml:${configPath}`, ...credentials.map(({ name, path }) => `${name}:${path}`)]
  .map((one) => `LoadCredential=${one.replaceAll("%", "%%")}\n`)
  .join(
    "",
  )}${hasFixedUser ? `# Not a dynamic user: tailscaled must know the user that it issues certificates to.\nUser=${serviceUser}` : "DynamicUser=yes"}
${keepsState ? `StateDirectory=tailscale2otel\nStateDirectoryMode=0700\nEnvironment=TS2OTEL_STATE__PATH=${serviceStateDirectory}\n` : ""}UMask=0077
Restart=always
RestartSec=1
# The configuration is invalid: starting again does not help.
RestartPreventExitStatus=78
TimeoutStopSec=30
LimitNOFILE=65536

AmbientCapabilities=${capability}
CapabilityBoundingSet=${capability}
DevicePolicy=closed
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=${bindsLowPort ? "no" : "yes"}
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# MemoryDenyWriteExecute is not possible: the JavaScript engine compiles to machine code.

[Install]
WantedBy=multi-user.target
`;
}

/** A user unit, hardened as far as a user's systemd instance can enforce without privileges. */
function userUnit(command: readonly string[], configPath: string): string {
  return `${mark}
${description.replace(/^(?:Wants|After)=.*\n?/gm, "").trimEnd()}

[Service]
Type=exec
ExecStart=${[...command, "run", "--config", configPath].map(quoted).join(" ")}
ExecReload=/bin/kill -HUP $MAINPID
UMask=0077
Restart=always
RestartSec=1
RestartPreventExitStatus=78
TimeoutStopSec=30
LockPersonality=yes
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
`;
}

/** Quotes one word of a command line (systemd.service(5), "COMMAND LINES"). */
function quoted(word: string): string {
  const escaped = word.replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[\w@%+=:,./$-]+$/.test(escaped) ? escaped : `"${escaped.replace(/[\\"]/g, "\\$&")}"`;
}
