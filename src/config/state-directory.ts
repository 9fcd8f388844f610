/** Where state is kept when nobody says so: the platform's own place for it. */
import { isAbsolute, join } from "node:path";

/** What the place depends on. */
export interface System {
  /** As Node names it: `linux`, `darwin`, `win32`. */
  readonly platform: string;
  readonly homeDirectory: string;
  readonly isRoot: boolean;
}

/**
 * `$XDG_STATE_HOME/tailscale2otel`, where that is set to an absolute path, which the XDG Base Directory specification
 * asks for; else the place of the platform.
 */
export function defaultStateDirectory(system: System, xdgStateHome: string | undefined): string {
  const name = "tailscale2otel";
  if (system.platform === "darwin") return join(system.homeDirectory, "Library", "Application Support", name);
  if (xdgStateHome !== undefined && isAbsolute(xdgStateHome)) return join(xdgStateHome, name);
  if (system.platform === "linux" && system.isRoot) return join("/var/lib", name);
  return join(system.homeDirectory, ".local", "state", name);
}
