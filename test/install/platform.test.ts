/** Which binary install.sh chooses for which machine. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createSandbox, isMissing, shells } from "./installer.ts";
import type { Sandbox } from "./installer.ts";
import { writeRelease } from "./release-folder.ts";

interface Machine {
  readonly system: string;
  readonly processor: string;
  readonly libc?: "glibc" | "musl";
  readonly isTranslated?: boolean;
  readonly target: string;
}

const machines: readonly Machine[] = [
  { system: "Linux", processor: "x86_64", libc: "glibc", target: "linux-x64" },
  { system: "Linux", processor: "aarch64", libc: "glibc", target: "linux-arm64" },
  { system: "Linux", processor: "x86_64", libc: "musl", target: "linux-x64-musl" },
  { system: "Linux", processor: "arm64", libc: "musl", target: "linux-arm64-musl" },
  { system: "Darwin", processor: "arm64", target: "darwin-arm64" },
  { system: "Darwin", processor: "x86_64", target: "darwin-x64" },
  { system: "Darwin", processor: "x86_64", isTranslated: true, target: "darwin-arm64" },
];

for (const shell of shells) {
  describe.skipIf(isMissing(shell))(`install.sh under ${shell}`, () => {
    let sandbox: Sandbox;
    const install = () => sandbox.run(["--from", "release", "--prefix", "prefix"]);

    beforeEach(() => {
      sandbox = createSandbox(shell);
      writeRelease({ directory: join(sandbox.directory, "release"), version: "1.2.3" });
      sandbox.stub("codesign", 'echo "# signed" >>"$4"');
    });

    afterEach(() => sandbox.stop());

    test.each(machines)("installs $target on $system with $processor", async (machine) => {
      pretend(sandbox, machine);
      expect((await install()).status).toBe(0);
      const installed = readFileSync(join(sandbox.directory, "prefix/bin/tailscale2otel"), "utf8");
      expect(installed).toContain(`1.2.3 ${machine.target}\n`);
      expect(installed.includes("# signed")).toBe(machine.target === "darwin-x64");
    });

    test.each([
      { system: "FreeBSD", processor: "amd64", target: "the system 'FreeBSD'" },
      { system: "Linux", processor: "riscv64", target: "the processor 'riscv64'" },
    ])("has no binary for $target", async (machine) => {
      pretend(sandbox, machine);
      const { status, output } = await install();
      expect([status, output]).toEqual([1, expect.stringContaining(`no binary for ${machine.target}`)]);
    });

    test("installs nothing on a Mac if the binary cannot be signed", async () => {
      pretend(sandbox, { system: "Darwin", processor: "x86_64", target: "darwin-x64" });
      sandbox.stub("codesign", "exit 1");
      const { status, output } = await install();
      expect([status, output]).toEqual([1, expect.stringContaining("cannot sign the binary")]);
    });

    test("says what a musl binary needs if it does not start", async () => {
      writeRelease({ directory: join(sandbox.directory, "release"), version: "1.2.3", script: () => "exit 127" });
      pretend(sandbox, { system: "Linux", processor: "x86_64", libc: "musl", target: "linux-x64-musl" });
      expect((await install()).output).toContain("apk add libstdc++");
    });
  });
}

function pretend(sandbox: Sandbox, { system, processor, libc, isTranslated }: Machine): void {
  sandbox.stub("uname", `[ "$1" = -s ] && echo ${system} || echo ${processor}`);
  sandbox.stub("getconf", libc === "glibc" ? "echo glibc 2.36" : "exit 1");
  sandbox.stub("ldd", libc === "musl" ? "echo 'musl libc (x86_64)' >&2; exit 1" : "exit 1");
  sandbox.stub("sysctl", `echo ${isTranslated === true ? 1 : 0}`);
}
