/** The `service` commands: install, uninstall and query the program as a systemd or launchd service. */
import { parse } from "node:path";
import process from "node:process";
import { type ConfigSources, loadSections } from "../config/index.ts";
import { messageOf } from "../lib/system-error.ts";
import {
  assertReachable,
  type Installation,
  install,
  type Presence,
  presenceOf,
  runStep,
  uninstall,
} from "../supervisor/installation.ts";
import { label } from "../supervisor/launchd.ts";
import { serviceStateDirectory, serviceUser, unitName } from "../supervisor/systemd.ts";
import { type Command, command, programName } from "./command.ts";
import { configFlags, jsonFlag, toggle } from "./flags.ts";
import { withInstance } from "./instance.ts";
import { bareInstallation, planService } from "./service-plan.ts";
import { healthText } from "./status.ts";
import { type Host, paint } from "./terminal.ts";

const userFlag = {
  user: toggle("For this user alone, in the user's own instance of systemd. On macOS: without root."),
};

const installCommand: Command = command({
  name: "service install",
  description: "Install and start the program as a service of systemd or launchd",
  args: {
    config: configFlags.config,
    ...userFlag,
    print: toggle("Print the file that would be written, and change nothing."),
    force: toggle("Overwrite a file that differs."),
  },
  examples: [
    ["sudo tailscale2otel service install", "with /etc/tailscale2otel/config.toml"],
    ["tailscale2otel service install --print", "only show the unit"],
    ["tailscale2otel service install --user --config ~/tailscale2otel.toml", "without root"],
  ],
  notes:
    "The configuration must be a valid file: a service does not see the variables of this shell. systemd reads it, and the files that it names, as root and passes copies to the service, which runs as a user that exists only while it does. With tls.tailscale, the user is a fixed one, because tailscaled must permit it.",
  async run({ args, sources, host }) {
    const { installation, remarks } = planService(host, sources, args.user === true);
    if (args.print === true)
      return { text: installation.text, json: undefined, remark: `would be written to ${installation.path}` };
    assertPermitted(host, args.user === true, "install");
    const presence = presenceOf(installation);
    if (presence !== "none" && presence !== "same" && args.force !== true) throw differs(installation, presence);
    assertReachable(installation);
    install(installation);
    const lines = [
      `${presence === "same" ? "unchanged" : "written"}: ${installation.path}`,
      "enabled and started; it will also start at boot",
      `state: tailscale2otel service status${args.user === true ? " --user" : ""}`,
      `log:   ${installation.logs}`,
      ...remarks,
    ];
    return { text: `${lines.join("\n")}\n`, json: undefined };
  },
});

const uninstallCommand: Command = command({
  name: "service uninstall",
  description: "Stop the service and remove it; configuration and state stay",
  args: { ...userFlag, force: toggle("Also remove a file that this program has not written.") },
  examples: [
    ["sudo tailscale2otel service uninstall", "then tailscale2otel can be removed with install.sh --uninstall"],
  ],
  async run({ args, host }) {
    const isUser = args.user === true;
    const installation = bareInstallation(host, isUser);
    const presence = presenceOf(installation);
    if (presence === "none")
      return {
        text: `no service is installed: there is no ${installation.path} (a package's own service is removed with the package)\n`,
        json: undefined,
      };
    assertPermitted(host, isUser, "uninstall");
    if (presence === "foreign" && args.force !== true)
      throw new Error(
        `${installation.path} was not written by tailscale2otel. Remove it by hand, or use: tailscale2otel service uninstall --force`,
      );
    uninstall(installation);
    const isSystem = host.system.platform === "linux" && !isUser;
    const kept = [
      "kept: the configuration, and the state with everything that is not delivered yet",
      ...(isSystem ? [`kept: ${serviceStateDirectory} (also as /var/lib/private/tailscale2otel)`] : []),
      ...(isSystem ? [`kept, if there is one: the user ${serviceUser}; remove it with: userdel ${serviceUser}`] : []),
    ];
    return { text: `stopped and removed: ${installation.path}\n${kept.join("\n")}\n`, json: undefined };
  },
});

const statusCommand: Command = command({
  name: "service status",
  description: "Show whether the service is installed, enabled and running, and the health of the instance",
  args: { ...configFlags, ...userFlag, ...jsonFlag },
  examples: [
    ["tailscale2otel service status", ""],
    ["tailscale2otel service status --json | jq .active", "for scripts"],
  ],
  notes: "Exit code 0 if the service is running and records are accepted, else 1.",
  async run({ args, sources, host }) {
    const isUser = args.user === true;
    const { path, ...rest } = bareInstallation(host, isUser);
    const manager = managerState(host, isUser);
    const file = presenceOf({ path, ...rest }) === "none" ? manager.file : path;
    const health = manager.isActive ? await instanceHealth(sources, host) : { text: "not running", isAccepting: false };
    const rows = [
      ["installed", file === "" ? `no: there is no ${path}` : file],
      ["enabled", manager.enabled],
      ["active", manager.isActive ? paint(32, manager.active, host.out) : paint(31, manager.active, host.out)],
      ["health", health.text],
    ];
    return {
      text: rows.map(([name = "", text = ""]) => `${name.padEnd(9)}  ${text}\n`).join(""),
      json: {
        installed: file !== "",
        path: file === "" ? path : file,
        enabled: manager.enabled,
        active: manager.active,
        accepting: health.isAccepting,
        health: health.text,
      },
      code: manager.isActive && health.isAccepting ? 0 : 1,
    };
  },
});

export const serviceCommands: readonly Command[] = [installCommand, uninstallCommand, statusCommand];

function assertPermitted({ system: { platform, uid } }: Host, isUser: boolean, verb: string): void {
  if (platform !== "linux" || isUser || uid === 0) return;
  // By its path, because sudo looks up names only in system directories. When run from source, the executable is the runtime.
  const { execPath } = process;
  const program = parse(execPath).name === programName ? execPath : programName;
  throw new Error(`to ${verb} a system service, run: sudo ${program} service ${verb}; for this user alone, add --user`);
}

function differs({ path }: Installation, presence: Presence): Error {
  const whose = presence === "foreign" ? "was not written by tailscale2otel" : "has other content";
  return new Error(
    `${path} exists and ${whose}. Compare it with tailscale2otel service install --print, and add --force to overwrite it.`,
  );
}

/** The state according to the service manager. `file`: the file it uses, for example a package's; empty if there is none. */
function managerState({ system: { platform, uid = 0 } }: Host, isUser: boolean) {
  if (platform === "darwin") {
    const domain = uid === 0 ? "system" : `gui/${uid}`;
    const printed = runStep({ command: ["launchctl", "print", `${domain}/${label}`], mayFail: true });
    const active = /^\s*state = (.+)$/m.exec(printed)?.[1] ?? "not loaded";
    return { file: "", enabled: printed === "" ? "no" : "yes", active, isActive: active === "running" };
  }
  const scope = isUser ? ["--user"] : [];
  const properties = ["FragmentPath", "UnitFileState", "ActiveState", "SubState", "MainPID", "NRestarts"].join(",");
  const shown = runStep({ command: ["systemctl", ...scope, "show", unitName, `--property=${properties}`] });
  const of = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(shown)?.[1] ?? "";
  const restarts = of("NRestarts") === "0" || of("NRestarts") === "" ? "" : `, ${of("NRestarts")} restarts`;
  const mainProcess = ["0", ""].includes(of("MainPID")) ? "" : `, process ${of("MainPID")}`;
  return {
    file: of("FragmentPath"),
    enabled: of("UnitFileState") || "no",
    active: `${of("ActiveState")} (${of("SubState")})${mainProcess}${restarts}`,
    isActive: of("ActiveState") === "active",
  };
}

async function instanceHealth(sources: ConfigSources, host: Host) {
  try {
    const tailnet = loadSections(sources, ["tailnet"]).config.tailnet[0]?.name;
    return await withInstance({ args: { tailnet }, sources, host }, async ({ isRunning, status }) => {
      if (!isRunning) return { text: "unknown: no instance answers", isAccepting: false };
      const found = await status();
      return { text: healthText(found, host.out), isAccepting: found.notReady.length === 0 };
    });
  } catch (error) {
    return { text: `unknown: ${messageOf(error)}`, isAccepting: false };
  }
}
