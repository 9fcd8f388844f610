/** Opens an address in the desktop's browser. */
import { spawn } from "node:child_process";
import process from "node:process";

type Environment = Readonly<Record<string, string | undefined>>;

/** Programs that open an address, with the arguments before it. None of them is a shell. */
const openers: Partial<Record<NodeJS.Platform, readonly [program: string, ...args: string[]]>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"],
  linux: ["xdg-open"],
};

/** Why no browser can be opened here; undefined if one can. */
export function whyNoBrowser(
  environment: Environment,
  platform: NodeJS.Platform = process.platform,
): string | undefined {
  const isSet = (name: string): boolean => (environment[name] ?? "") !== "";
  if (openers[platform] === undefined) return "no browser can be opened on this system";
  if (isSet("CI")) return "no browser is opened in CI";
  if (isSet("SSH_CONNECTION") || isSet("SSH_TTY")) return "no browser is opened over SSH";
  if (platform === "linux" && !isSet("DISPLAY") && !isSet("WAYLAND_DISPLAY"))
    return "there is no desktop to open a browser on";
  return process.stdout.isTTY === true ? undefined : "no browser is opened from a pipe";
}

/** `onTrouble` receives the reason if the browser does not open. */
export function openBrowser(url: string, onTrouble: (why: string) => void): void {
  const [program, ...args] = openers[process.platform] ?? [];
  if (program === undefined) return;
  const child = spawn(program, [...args, url], { stdio: "ignore", detached: true });
  child.once("error", () => onTrouble(`${program} cannot be started`));
  child.once("exit", (code) => {
    if (code !== 0) onTrouble(`${program} opened no browser`);
  });
  child.unref();
}
