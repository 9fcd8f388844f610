/** install.sh with a base URL. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSandbox } from "./installer.ts";
import type { Sandbox } from "./installer.ts";
import { startReleaseServer } from "./release-server.ts";
import type { ReleaseServer } from "./release-server.ts";
import { writeRelease } from "./release-folder.ts";

/** Each shell with a downloader that is found together with it. */
const pairs = [
  { shell: "dash", downloader: "curl" },
  { shell: "busybox", downloader: "wget" },
  // macOS has this combination.
  { shell: "bash", downloader: "curl" },
] as const;

for (const { shell, downloader } of pairs) {
  const isMissing = [shell, downloader === "wget" ? "busybox" : downloader].some((tool) => Bun.which(tool) === null);
  describe.skipIf(isMissing && process.env.CI === undefined)(`install.sh under ${shell} with ${downloader}`, () => {
    let sandbox: Sandbox;
    let server: ReleaseServer;
    const binary = () => join(sandbox.directory, "prefix/bin/tailscale2otel");
    const install = (...args: readonly string[]) =>
      sandbox.run(["--prefix", "prefix", ...args], { TS2OTEL_INSTALL_BASE_URL: `${server.url}/` });

    beforeEach(async () => {
      sandbox = createSandbox(shell);
      sandbox.allow(downloader);
      const releases = join(sandbox.directory, "releases");
      for (const version of ["1.2.3", "1.3.0"]) writeRelease({ directory: join(releases, version), version });
      server = await startReleaseServer(releases, "1.3.0");
    });

    afterEach(async () => {
      await server.stop();
      sandbox.stop();
    });

    test("installs the latest version", async () => {
      const { status, output } = await install();
      expect([status, output]).toEqual([0, expect.stringContaining("tailscale2otel 1.3.0 (linux-x64)")]);
      expect(readFileSync(binary(), "utf8")).toContain("1.3.0");
      expect(readdirSync(join(sandbox.directory, "prefix/bin"))).toEqual(["tailscale2otel"]);
    });

    test("installs the requested version", async () => {
      expect((await install("--version", "1.2.3")).status).toBe(0);
      expect(readFileSync(binary(), "utf8")).toContain("1.2.3");
    });

    test("prefers the address in the flag to the one in the environment", async () => {
      const { status, output } = await install("--base-url", `${server.url}/nothing-here`);
      expect([status, output]).toEqual([1, expect.stringContaining(`at ${server.url}/nothing-here`)]);
      expect(output).toContain("cannot find the latest version");
    });

    test("distinguishes an unreachable or failing server from a missing version", async () => {
      server.answer(403);
      const refused = await install();
      expect([refused.status, refused.output]).toEqual([
        1,
        expect.stringContaining(`${server.url} answers with status 403`),
      ]);
      await server.stop();
      const { status, output } = await install("--version", "1.2.3");
      expect([status, output]).toEqual([1, expect.stringContaining(`cannot reach ${server.url}; check the network`)]);
      expect(output).not.toContain("there is no version");
    });

    test("shows progress in a terminal, and none in a pipe", async () => {
      sandbox.allow("wc");
      // Without a progress bar of the downloader, the size is shown every second; the test shortens that.
      sandbox.stub("sleep", `exec ${Bun.which("sleep")} 0.05`);
      server.delay(1_000);
      const args = ["--prefix", "prefix", "--base-url", server.url];
      const seen = await sandbox.runInTerminal(args);
      expect([seen.status, seen.output]).toEqual([0, expect.stringMatching(downloader === "curl" ? /#+/ : / MB/)]);
      server.delay(300);
      const piped = await install();
      expect([piped.status, piped.output]).toEqual([0, expect.not.stringMatching(/#| MB/)]);
    });

    test("reports a missing version", async () => {
      const { status, output } = await install("--version", "9.9.9");
      expect([status, output]).toEqual([1, expect.stringContaining(`there is no version 9.9.9 at ${server.url}`)]);
      expect(existsSync(join(sandbox.directory, "prefix"))).toBe(false);
    });

    test.each(["VERSION", "SHA256SUMS"])("does not fill the disk with an endless %s", async (name) => {
      server.endless(name);
      const { status, output } = await install();
      expect([status, output]).toEqual([1, expect.stringContaining("broke off, or is larger than a release")]);
      expect(existsSync(join(sandbox.directory, "prefix"))).toBe(false);
    });

    test("installs nothing if the download breaks off", async () => {
      server.breakOff();
      expect((await install()).status).toBe(1);
      expect(existsSync(join(sandbox.directory, "prefix"))).toBe(false);
    });
  });
}

/** An https server that redirects every request to one over http. */
async function startDowngrade(target: string): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const [cert, key] = ["cert", "key"].map((name) => readFileSync(join(tls, `first.${name}.pem`)));
  const server = createServer({ cert, key }, (request, response) =>
    response.writeHead(302, { location: target + (request.url ?? "") }).end(),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const tls = join(import.meta.dirname, "../support/tls");

describe("a redirect from https to http is not followed", () => {
  let sandbox: Sandbox;
  beforeEach(() => {
    sandbox = createSandbox("dash");
    writeRelease({ directory: join(sandbox.directory, "releases/1.3.0"), version: "1.3.0" });
  });
  afterEach(() => sandbox.stop());

  test.skipIf(Bun.which("curl") === null)("with curl", async () => {
    sandbox.allow("curl");
    const releases = await startReleaseServer(join(sandbox.directory, "releases"), "1.3.0");
    const downgrade = await startDowngrade(releases.url);
    const env = { CURL_CA_BUNDLE: join(tls, "first.cert.pem") };
    const { status, output } = await sandbox.run(["--prefix", "prefix", "--base-url", downgrade.url], env);
    await Promise.all([downgrade.stop(), releases.stop()]);
    expect([status, output]).toEqual([1, expect.stringContaining('"http"')]);
    expect(existsSync(join(sandbox.directory, "prefix"))).toBe(false);
  });

  test.each([
    ["GNU's", "https://example.com/a", "  Location: http://mirror.example.com/a [following]", 1],
    ["busybox's", "https://example.com/a", "  location: HTTP://mirror.example.com/a", 1],
    ["GNU's, to https", "https://example.com/a", "  Location: https://mirror.example.com/a [following]", 0],
    ["GNU's, from http", "http://example.com/a", "  Location: http://mirror.example.com/a [following]", 0],
  ])("with %s wget", async (_, url, line, expected) => {
    sandbox.stub(
      "wget",
      `[ "$2" = -O ] && cat "${sandbox.directory}/releases/1.3.0/\${4##*/}" > "$3"; echo "  HTTP/1.1 302 Found" >&2; echo "${line}" >&2`,
    );
    const { status, output } = await sandbox.run(["--prefix", "prefix", "--base-url", url]);
    expect([status, output]).toEqual([
      expected,
      expect.stringContaining(expected === 0 ? "tailscale2otel 1.3.0" : "redirects to an address without https"),
    ]);
    expect(existsSync(join(sandbox.directory, "prefix"))).toBe(expected === 0);
  });
});
