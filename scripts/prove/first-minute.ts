/** Proves a newcomer's first minute: in a root folder with a shell and curl, install a release, answer the questions, and see a record. */
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { distDir } from "../build/compile.ts";
import { startOtlpSink } from "../../test/support/otlp-sink.ts";
import { startInTerminal, type TerminalProgram } from "../../test/support/terminal.ts";
import { until } from "../../test/support/wait.ts";

const release = join(distDir, "release");
const user = 1000;
const home = "/home/stranger";
const allowedMs = 60_000;

if (!existsSync(join(release, "VERSION"))) fail("there is no release: bun run release");
const root = mkdtempSync(join(tmpdir(), "stranger-"));
const sink = await startOtlpSink();
try {
  fillRoot();
  const startedAt = performance.now();
  const elapsed = (): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  const first = openTerminal();
  await first.answer("$ ", "sh /release/install.sh --from /release");
  await first.until("Installed tailscale2otel");
  say(`installed after ${elapsed()}`);
  await first.answer("$ ", ".local/bin/tailscale2otel init");
  await first.answer("1. How do the logs get here?", "");
  await first.answer("2. Where do metrics and logs go?", sink.url);
  await first.answer("3. How does Tailscale reach this machine?", "");
  await first.answer("Full name of this machine", "node.tail1234.ts.net");
  await first.answer("Public address, or Enter for none:", "");
  await first.answer("Client ID, or Enter to do it by hand", "");
  await first.answer("$ ", ".local/bin/tailscale2otel run");
  await first.until(" ready ");
  say(`ready after ${elapsed()}`);
  const second = openTerminal();
  await second.answer("$ ", ".local/bin/tailscale2otel send hec");
  await second.until("200 OK");
  await second.answer("$ ", ".local/bin/tailscale2otel tail");
  await second.until("send@example.com: changed ACL tags");
  say(`seen by tail after ${elapsed()}`);
  await until(() => sink.logs.length === 2 && sink.points.some(({ metric }) => metric === "tailscale.network.flows"));
  const tookMs = performance.now() - startedAt;
  say(`logs and metrics at the backend after ${elapsed()}`);
  second.type("\u0003");
  second.type("exit\r");
  first.type("\u0003");
  await first.until(" stopped");
  first.type("exit\r");
  await Promise.all([first.ended, second.ended]);
  if (tookMs > allowedMs) fail(`it took more than ${allowedMs / 1000} s`);
} finally {
  await sink.stop();
  rmSync(root, { recursive: true, force: true });
}
process.exit(0);

/** busybox provides the shell and the usual tools; curl comes with its libraries. */
function fillRoot(): void {
  const [busybox, curl] = ["busybox", "curl"].map((name) => Bun.which(name) ?? fail(`${name} is missing`));
  for (const folder of ["bin", "usr/bin", "etc", "tmp", "dev", "proc", `.${home}`])
    mkdirSync(join(root, folder), { recursive: true });
  chmodSync(root, 0o755);
  chmodSync(join(root, "tmp"), 0o1777);
  const libraries = spawnSync("ldd", [String(busybox), String(curl), process.execPath], { encoding: "utf8" }).stdout;
  for (const [path] of libraries.matchAll(/\/\S+\.so\S*/g)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    cpSync(path, join(root, path), { dereference: true });
  }
  cpSync(String(busybox), join(root, "bin/busybox"), { dereference: true });
  cpSync(String(curl), join(root, "usr/bin/curl"), { dereference: true });
  const applets = spawnSync(String(busybox), ["--list"], { encoding: "utf8" }).stdout.trim().split("\n");
  for (const applet of applets) if (applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
  writeFileSync(join(root, "etc/passwd"), `stranger:x:${user}:${user}::${home}:/bin/sh\n`);
  cpSync(release, join(root, "release"), { recursive: true });
  chownSync(join(root, home), user, user);
}

function openTerminal(): TerminalProgram {
  const script = `set -e
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
cd /
exec /usr/sbin/chroot --userspec=${user}:${user} "$0" /bin/sh -c "cd ${home} && exec /bin/sh"`;
  const env = { HOME: home, PATH: "/usr/bin:/bin", PS1: "$ " };
  return startInTerminal(["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, root], { cwd: "/", env });
}

function say(text: string): void {
  process.stdout.write(`  ${text}\n`);
}

function fail(reason: string): never {
  process.stdout.write(`FAILED: ${reason}\n`);
  process.exit(1);
}
