/** The admin listener's settings: off loopback, a token is required. */
import { describe, expect, test } from "bun:test";
import { inspectIn, soundEnvironment, soundSettings, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

const problemsOf = (toml: string): readonly string[] => inspectIn(directory, { toml }).problems;

test.each([
  '[admin]\nlisten = ":9091"',
  '[admin]\nlisten = "0.0.0.0:9091"',
  '[admin]\nlisten = "[::]:9091"',
  '[admin]\nlisten = "100.64.1.1:9091"',
])("%j is refused", (toml) => {
  expect(problemsOf(toml).join("\n")).toContain("is not loopback, but admin.token is empty");
});

test.each([
  "",
  '[admin]\nlisten = "127.0.0.1:0"',
  '[admin]\nlisten = "[::1]:9091"',
  '[admin]\nlisten = ":9091"\ntoken = "a-long-token"',
  '[admin]\nlisten = ":9091"\nenabled = false',
])("%j is accepted", (toml) => {
  expect(problemsOf(toml).join("\n")).not.toContain("admin.");
});

describe("off loopback without TLS", () => {
  const warningOf = (toml: string): string | undefined =>
    inspectIn(directory, {
      toml: `[admin]\ntoken = "a-long-token"\n${toml}`,
      set: soundSettings,
      environment: soundEnvironment,
    }).warnings.find((warning) => warning.startsWith("admin.listen"));

  test.each([
    ":9091",
    "0.0.0.0:9091",
    "192.0.2.7:9091",
    "100.128.0.1:9091",
    "[2001:db8::1]:9091",
    "node.example.com:9091",
  ])("%s gets a warning", (listen) => {
    expect(warningOf(`listen = "${listen}"`)).toBe(
      `admin.listen: ${listen} is not loopback and there is no TLS, so the admin token and all that is shown travel over plain HTTP. Set admin.tls.tailscale = true, or admin.tls.cert_file and admin.tls.key_file, or listen on 127.0.0.1 or this node's Tailscale address.`,
    );
  });

  test.each(["127.0.0.1:9091", "[::1]:9091", "100.64.0.1:9091", "100.127.255.254:9091", "[fd7a:115c:a1e0::1]:9091"])(
    "%s gets no warning, because nobody in between can read it",
    (listen) => {
      expect(warningOf(`listen = "${listen}"`)).toBeUndefined();
    },
  );

  test("there is no warning with TLS, or if nothing listens", () => {
    expect(warningOf('listen = ":9091"\ntls.tailscale = true')).toBeUndefined();
    expect(warningOf('listen = ":9091"\nenabled = false')).toContain("it has no effect");
  });
});

test("the certificate comes from tailscaled or from two files, as for the receivers", () => {
  expect(problemsOf('[admin.tls]\ncert_file = "missing.pem"').join("\n")).toContain("admin.tls.key_file is not");
  expect(problemsOf('[admin.tls]\ncert_file = "a"\nkey_file = "b"\ntailscale = true').join("\n")).toContain(
    "admin.tls.tailscale: the certificate comes either from tailscaled or from files, not from both",
  );
  expect(problemsOf('[admin.tls]\ncert_file = "missing.pem"\nkey_file = "missing.pem"').join("\n")).toContain(
    "admin.tls.cert_file: cannot read",
  );
});
