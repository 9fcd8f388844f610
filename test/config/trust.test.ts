/** A configuration file that was not named explicitly is read only if nobody else could have written it. */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { describeFinding, findConfigFile, inspectConfig, loadSections } from "../../src/config/index.ts";
import { ConfigError } from "../../src/errors.ts";
import { whyForeign } from "../../src/config/files.ts";
import { sourcesIn, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();
const own = process.getuid?.() ?? 0;

function sourcesOf(mode: number) {
  const sources = sourcesIn(directory, { toml: "log_level = 'debug'\n" });
  chmodSync(join(directory, "tailscale2otel.toml"), mode);
  return { ...sources, system: { ...sources.system, uid: own } };
}

test.each([0o600, 0o644, 0o400])("a file of the user is read (mode %o)", (mode) => {
  const sources = sourcesOf(mode);
  expect(findConfigFile(sources)).toBe("tailscale2otel.toml");
  expect(inspectConfig(sources).config.log_level).toBe("debug");
});

test("a file that everybody can write to is an error with a remedy", () => {
  const sources = sourcesOf(0o646);
  const { config, problems } = inspectConfig(sources);
  expect(config.log_level).toBe("info");
  expect(problems.map(describeFinding)).toEqual([
    "tailscale2otel.toml: cannot be read: it is not trusted, because other users can write to it (mode 0646). If it is yours, correct its owner and run chmod go-w tailscale2otel.toml; or name a file with --config or TS2OTEL_CONFIG.",
  ]);
});

test("the same file is read if it is named", () => {
  const sources = { ...sourcesOf(0o646), configPath: "tailscale2otel.toml" };
  expect(inspectConfig(sources).config.log_level).toBe("debug");
});

test("a file of another user is not read", () => {
  const sources = sourcesOf(0o600);
  const other = { ...sources, system: { ...sources.system, uid: own + 1 } };
  // Root's files are trusted by everybody, so the file must not be root's here.
  if (own === 0) chownSync(join(directory, "tailscale2otel.toml"), 12_345, 12_345);
  expect(inspectConfig(other).config.log_level).toBe("info");
  expect(inspectConfig(other).problems[0]?.message).toContain("it belongs to another user");
  // A command must not act on the instance of the next location instead.
  expect(() => loadSections(other, ["state"])).toThrow(ConfigError);
});

test.each([
  [{ uid: 1000, gid: 1000, mode: 0o664 }, "the user's own group may write", undefined],
  [{ uid: 1000, gid: 100, mode: 0o664 }, "a shared group may write", "other users can write to it (mode 0664)"],
  [{ uid: 0, gid: 0, mode: 0o644 }, "root's", undefined],
  [{ uid: 1001, gid: 1001, mode: 0o600 }, "another user's", "it belongs to another user (uid 1001)"],
])("%j: %s", (stats, _, reason) => {
  expect(whyForeign(stats, 1000)).toBe(reason);
});

test("a link or a pipe of another user is not opened", () => {
  const place = join(directory, "c");
  mkdirSync(place);
  execFileSync("mkfifo", [join(place, "tailscale2otel.toml")]);
  const sources = { ...sourcesIn(directory, {}), workingDirectory: place };
  const other = { ...sources, system: { ...sources.system, uid: own + 1 } };
  if (own === 0) chownSync(join(place, "tailscale2otel.toml"), 12_345, 12_345);
  expect(inspectConfig(other).problems[0]?.message).toContain("it belongs to another user");
});

test("a file that cannot be read is a problem, even if it was not named", () => {
  mkdirSync(join(directory, "b", "tailscale2otel.toml"), { recursive: true });
  const sources = { ...sourcesIn(directory, {}), workingDirectory: join(directory, "b") };
  const { problems, isUnread } = inspectConfig(sources);
  expect(isUnread).toBe(true);
  expect(problems).toHaveLength(1);
  expect(problems[0]?.message).toBe("cannot be read: it is a directory");
  writeFileSync(join(directory, "tailscale2otel.toml"), "");
});
