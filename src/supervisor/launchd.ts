/** The launchd property list for macOS, for one user or for the whole machine. */
import { join } from "node:path";
import type { Installation } from "./installation.ts";

/** The label, and the file name without its extension. */
export const label = "tailscale2otel";

export interface LaunchdJob {
  /** The program, without arguments. */
  readonly command: readonly string[];
  readonly configPath: string;
  readonly homeDirectory: string;
  readonly uid: number;
}

/** An agent, which runs while the user is logged in, or a daemon if installed by root. */
export function launchdInstallation({ command, configPath, homeDirectory, uid }: LaunchdJob): Installation {
  const isDaemon = uid === 0;
  const library = isDaemon ? "/Library" : join(homeDirectory, "Library");
  const path = join(library, isDaemon ? "LaunchDaemons" : "LaunchAgents", `${label}.plist`);
  const domain = isDaemon ? "system" : `gui/${uid}`;
  const logPath = join(library, "Logs", `${label}.log`);
  return {
    path,
    text: propertyList([...command, "run", "--config", configPath], logPath),
    isReachable: { command: ["launchctl", "print", domain] },
    install: [
      // Fails if nothing is loaded, which is fine.
      { command: ["launchctl", "bootout", `${domain}/${label}`], mayFail: true },
      { command: ["launchctl", "bootstrap", domain, path] },
    ],
    uninstall: { before: [{ command: ["launchctl", "bootout", `${domain}/${label}`], mayFail: true }], after: [] },
    logs: `tail -f '${logPath}'`,
  };
}

function propertyList(args: readonly string[], logPath: string): string {
  const strings = args.map((arg) => `    <string>${escaped(arg)}</string>`).join("\n");
  return `<?xml version="1.0" encoding="UTF-8"?>
<!-- Written by: tailscale2otel service install -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${label}</string>
  <key>ProgramArguments</key>
  <array>
${strings}
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <true/>
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <key>ExitTimeOut</key>
  <integer>30</integer>
  <key>Umask</key>
  <integer>63</integer>
  <key>StandardErrorPath</key>
  <string>${escaped(logPath)}</string>
</dict>
</plist>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
