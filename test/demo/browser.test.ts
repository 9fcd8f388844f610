/** A browser is opened only if somebody sits at a desktop. */
import { expect, test } from "bun:test";
import { whyNoBrowser } from "../../src/demo/browser.ts";

test.each([
  [{}, "linux", "there is no desktop to open a browser on"],
  [{ DISPLAY: ":0", SSH_CONNECTION: "192.0.2.1 1 192.0.2.2 22" }, "linux", "no browser is opened over SSH"],
  [{ DISPLAY: ":0", CI: "true" }, "linux", "no browser is opened in CI"],
  [{ SSH_TTY: "/dev/pts/1" }, "darwin", "no browser is opened over SSH"],
  [{}, "freebsd", "no browser can be opened on this system"],
] as const)("with %j on %s: %s", (environment, platform, why) => {
  expect(whyNoBrowser(environment, platform)).toBe(why);
});
