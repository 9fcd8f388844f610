/** The container image without a container engine: its root file system, entered as a container runtime does. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { timeoutMs, until } from "../support/wait.ts";

const folder = resolve(import.meta.dirname, "../../contrib/container");
const containerfile = readFileSync(join(folder, "Containerfile"), "utf8");
/** The instructions of the last stage. */
const image = containerfile.slice(containerfile.indexOf("FROM scratch"));
const [, user = ""] = /^USER (\S+)$/m.exec(image) ?? [];
const [, variables = ""] = /^ENV (.*)$/m.exec(image) ?? [];
const environment = Object.fromEntries(variables.split(" ").map((pair) => pair.split("=", 2)));
const healthcheck = wordsOf("HEALTHCHECK.* CMD");

/** Namespaces and `chroot` need root on Linux. */
const canRun = process.platform === "linux" && process.getuid?.() === 0;

describe.skipIf(!canRun)("the image", () => {
  const work = mkdtempSync(join(tmpdir(), "image-"));
  const root = join(work, "root");
  const state = join(work, "state");
  let sink: OtlpSink;
  let program: RunningProgram;

  /** A mount namespace in which the image is read-only except for its volume, with `/proc` and `/dev` as runtimes provide them. */
  const inside = (command: readonly string[]): readonly string[] => {
    const script = `set -e
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
mount --bind "$1" "$0/state"
mount -o remount,bind,ro "$0"
root=$0
shift
cd /
exec /usr/sbin/chroot --userspec=${user} "$root" "$@"`;
    return ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, root, state, ...command];
  };
  const runInside = (command: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const [executable = "", ...args] = inside(command);
    return spawnSync(executable, args, { encoding: "utf8", env: { ...environment, ...env } });
  };

  beforeAll(async () => {
    const made = spawnSync("sh", [join(folder, "rootfs.sh"), programBinary(), root], { encoding: "utf8" });
    expect(made.stderr).toBe("");
    for (const name of ["proc", "dev"]) mkdirSync(join(root, name));
    // Kubernetes prepares a volume for the group of a pod like this.
    mkdirSync(state);
    chownSync(state, 0, Number(user.split(":")[1]));
    chmodSync(state, 0o2770);
    sink = await startOtlpSink();
    const command = inside(wordsOf("ENTRYPOINT"));
    const directory = join(work, "output");
    mkdirSync(directory);
    program = await startProgram({
      command,
      directory,
      endpoint: sink.url,
      encoding: "protobuf",
      settings: environment,
    });
  }, timeoutMs);

  afterAll(async () => {
    await program?.kill();
    await sink?.stop();
    rmSync(work, { recursive: true, force: true });
  });

  test("contains the binary, its five libraries, certificates, and a user that owns the state", () => {
    const files = readdirSync(root, { recursive: true, encoding: "utf8" });
    expect(files.filter((name) => /\.so\.\d+$/.test(name))).toHaveLength(5);
    expect(files.filter((name) => statSync(join(root, name)).isFile() && !name.startsWith("dev"))).toHaveLength(10);
    const { uid, gid, mode } = statSync(join(root, "state"));
    expect([`${uid}:${gid}`, (mode & 0o777).toString(8)]).toEqual([user, "700"]);
    expect(Number(user.split(":")[0])).toBeGreaterThan(0);
  });

  test(
    "runs read-only as its user, accepts and delivers, and its health check passes",
    async () => {
      expect(runInside(["/usr/bin/tailscale2otel", "version"]).stdout).toStartWith("tailscale2otel ");
      const admin = { TS2OTEL_ADMIN__LISTEN: new URL(program.admin).host };
      expect(runInside(healthcheck, admin)).toMatchObject({ status: 0, stderr: "" });
      const sent = runInside(["/usr/bin/tailscale2otel", "send", "hec", "--url", program.url], {
        TS2OTEL_STREAMING__TOKEN: program.token,
      });
      expect(sent.stdout).toContain("200 OK");
      await until(() => sink.logs.length === 2);
      const owners = readdirSync(state).map((name) => statSync(join(state, name)).uid);
      expect(new Set(owners)).toEqual(new Set([Number(user.split(":")[0])]));
      const writes = readdirSync(root).filter(
        (name) => !["etc", "usr", "lib", "lib64", "state", "proc", "dev"].includes(name),
      );
      expect(writes).toEqual([]);
    },
    timeoutMs,
  );

  test(
    "exits with 0 on SIGTERM, after which its health check fails",
    async () => {
      expect(await program.stop()).toBe(0);
      const admin = { TS2OTEL_ADMIN__LISTEN: new URL(program.admin).host };
      expect(runInside(healthcheck, admin).status).toBe(1);
    },
    timeoutMs,
  );
});

/** The words of an instruction in its exec form. */
function wordsOf(instruction: string): readonly string[] {
  const [, words = "[]"] = new RegExp(`^${instruction} (\\[.*\\])$`, "m").exec(image) ?? [];
  return JSON.parse(words) as readonly string[];
}
