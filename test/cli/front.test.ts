import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { runToEnd, temporaryDirectory } from "./program.ts";
import { configAt, openStore } from "../support/store.ts";

const directory = temporaryDirectory();

describe("an invalid command line is a usage error, and nothing runs", () => {
  test.each([
    [["chek"], 'unknown command "chek"; did you mean check?'],
    [["frobnicate"], 'unknown command "frobnicate"'],
    [["helo"], 'unknown command "helo"; did you mean help?'],
    [["list"], 'unknown command "list"'],
    [
      ["quarantine", "foo"],
      'unknown command "quarantine foo"; there are quarantine list, quarantine show, quarantine retry, quarantine purge',
    ],
    [["run", "extra"], 'unexpected argument "extra"'],
    [["run", "--confg", "x"], "unknown flag --confg; did you mean --config?"],
    [["run", "-c", "x"], "unknown flag -c"],
    [["run", "--no-config"], "unknown flag --no-config; did you mean --config?"],
    [["run", "--"], "unknown flag --"],
    [["run", "--version"], "unknown flag --version"],
    [["run", "--set"], "--set needs a value"],
    [["run", "--config", "a", "--config=b"], "--config is given twice"],
    [["check", "--json=yes"], "--json takes no value"],
    [["version", "--jsn"], "unknown flag --jsn; did you mean --json?"],
    [["--version", "more"], 'unexpected argument "more"'],
    [["demo", "--rate", "fast"], '--rate must be a whole number from 1 to 1000000, not "fast"'],
    [["demo", "--duration", "0"], '--duration must be a time such as 30s or 5m, not "0"'],
    [["demo", "--past", "2d"], '--past must be a time of up to 24h such as 10m, not "2d"'],
    [["demo", "--nodes", "1"], '--nodes must be a whole number from 2 to 2000, not "1"'],
    [["demo", "--nodes", "many"], '--nodes must be a whole number from 2 to 2000, not "many"'],
    [["demo", "--protocol", "grpc"], '--protocol must be one of http/json, http/protobuf, not "grpc"'],
    [["demo", "--protocol", "http/json"], "--protocol needs --endpoint"],
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await runToEnd(directory, args);
    const help = /^(?:run|check|version|demo|quarantine)$/.test(args[0] ?? "") ? `${args[0]} --help` : "--help";
    expect(stderr).toBe(`tailscale2otel: ${message} (see tailscale2otel ${help})\n`);
    expect(stdout).toBe("");
    expect(code).toBe(64);
  });
});

describe("without a command", () => {
  test("and without a configuration it shows the commands", async () => {
    const { code, stderr } = await runToEnd(directory, []);
    expect(stderr).toContain("USAGE tailscale2otel run|demo|init|check|send|");
    expect(stderr).toEndWith(
      "tailscale2otel: no command, and no configuration to run with: tailscale2otel init writes one (see tailscale2otel --help)\n",
    );
    expect(code).toBe(64);
  });

  test("it runs if the receiver is configured by variables", async () => {
    const { code, stderr } = await runToEnd(directory, [], { TS2OTEL_STREAMING__ENABLED: "perhaps" });
    expect(stderr).toStartWith(
      'tailscale2otel: TS2OTEL_STREAMING__ENABLED: streaming.enabled: invalid boolean "perhaps".',
    );
    expect(code).toBe(78);
  });

  test("it runs if credentials for the API are configured by variables", async () => {
    const { code, stderr } = await runToEnd(directory, [], { TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: "k1CNTRL" });
    expect(stderr).toStartWith("tailscale2otel: TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: ");
    expect(code).toBe(78);
  });

  test("it runs if a file is found or named by a flag", async () => {
    const path = join(directory, "wrong.toml");
    writeFileSync(path, "log_level = 1\n");
    for (const args of [["--config", path], [`--config=${path}`], ["--set", "log_level=1"]]) {
      const { code, stderr } = await runToEnd(directory, args, args[0] === "--set" ? { TS2OTEL_CONFIG: path } : {});
      expect(stderr).toContain(`${path}:1: log_level: invalid value 1.`);
      expect(code).toBe(78);
    }
  });
});

describe("help and version in common spellings", () => {
  test("help, help <command>, -v and -V", async () => {
    const out = async (...args: string[]) => {
      const { code, stdout } = await runToEnd(directory, args);
      return code === 0 ? stdout : `exit ${code}`;
    };
    expect(await out("help")).toBe(await out("--help"));
    expect(await out("help", "--help")).toBe(await out("--help"));
    expect(await out("help", "status")).toBe(await out("status", "--help"));
    expect(await out("help", "tailnet", "stream")).toBe(await out("tailnet", "stream", "--help"));
    for (const flag of ["-v", "-V"]) expect(await out(flag)).toBe("tailscale2otel 0.1.0-dev\n");
    expect((await runToEnd(directory, ["help", "chek"])).stderr).toContain("did you mean check?");
  }, 120_000);

  test("flags may stand before the command", async () => {
    for (const args of [
      ["--config", "nope.toml", "check"],
      ["--config=nope.toml", "check"],
      ["--set", "a=b", "--config", "nope.toml", "check"],
    ]) {
      const { code, stdout } = await runToEnd(directory, args);
      expect([args, code, stdout]).toEqual([
        args,
        78,
        expect.stringContaining("nope.toml: cannot be read: there is no such file or directory"),
      ]);
    }
    const { code, stderr } = await runToEnd(directory, ["--config", "nope.toml", "chek"]);
    expect([code, stderr]).toEqual([64, expect.stringContaining('unknown command "chek"; did you mean check?')]);
  }, 120_000);
});

describe("a mistyped --config or --set exits with 78 and the message of check", () => {
  test.each([
    "status",
    "quarantine list",
    "quarantine purge --class sample",
    "replay --cancel",
    "send hec",
    "tailnet stream show",
  ])(
    "%s",
    async (line) => {
      const words = line.split(" ");
      const missing =
        "tailscale2otel: nope.toml: cannot be read: there is no such file or directory. Name a regular, readable TOML file with";
      const named = await runToEnd(directory, [...words, "--config", "nope.toml"]);
      expect([named.code, named.stderr]).toEqual([78, expect.stringContaining(missing)]);
      const variable = await runToEnd(directory, words, { TS2OTEL_CONFIG: "nope.toml" });
      expect([variable.code, variable.stderr]).toEqual([78, expect.stringContaining(missing)]);
      const key = await runToEnd(directory, [...words, "--set", "admin.tokn=x"]);
      expect([key.code, key.stderr]).toEqual([
        78,
        "tailscale2otel: --set admin.tokn: unknown setting. Did you mean admin.token?\n",
      ]);
    },
    120_000,
  );
});

describe("file system errors are not shown in the runtime's words", () => {
  const none = "there is no such file or directory";
  const hec = { TS2OTEL_STREAMING__ENABLED: "true", TS2OTEL_STREAMING__LISTEN: "127.0.0.1:0" };
  const temporary = `cannot create a temporary directory in /nowhere: ${none}. Set TMPDIR to a directory that this user may write to.`;
  test.each([
    [["demo"], { TMPDIR: "/nowhere" }, temporary, 1],
    [["run"], { ...hec, TMPDIR: "/nowhere", TS2OTEL_STATE__PATH: ":memory:" }, temporary, 1],
    [
      ["run"],
      { ...hec, TS2OTEL_STATE__PATH: `/${"x".repeat(300)}` },
      `TS2OTEL_STATE__PATH: state.path: cannot use the state directory: /${"x".repeat(300)} cannot be read: the name is too long. Set another state.path.`,
      78,
    ],
  ] as const)("%j with %j", async (args, environment, message, exitCode) => {
    const { code, stderr } = await runToEnd(directory, args, environment);
    expect(stderr.split("\n").slice(-2)).toEqual([`tailscale2otel: ${message}`, ""]);
    expect(code).toBe(exitCode);
  });

  test("a current directory that has been deleted", async () => {
    const gone = join(directory, "gone");
    mkdirSync(gone);
    const shell = `rmdir "$PWD" && exec "${process.execPath}" "${join(import.meta.dirname, "../../src/main.ts")}" version`;
    const { stderr, exitCode } = Bun.spawnSync(["sh", "-c", shell], { cwd: gone });
    expect(stderr.toString()).toBe(
      "tailscale2otel: the current directory no longer exists: change to another one, and try again\n",
    );
    expect(exitCode).toBe(1);
  });
});

describe("versions", () => {
  test("of a run from source", async () => {
    expect(await runToEnd(directory, ["--version"])).toEqual({
      code: 0,
      stdout: "tailscale2otel 0.1.0-dev\n",
      stderr: "",
    });
    expect(await runToEnd(directory, ["version"])).toEqual({
      code: 0,
      stdout: "tailscale2otel 0.1.0-dev\n",
      stderr: "",
    });
    const { stdout } = await runToEnd(directory, ["version", "--json"]);
    expect(JSON.parse(stdout)).toEqual({ version: "0.1.0-dev", commit: "", date: "" });
  });
});

test.each([
  [["version"], 0],
  [["check"], 78],
  [["quarantine", "list"], 0],
  [["status"], 1],
] as const)("%j prints text in a pipe, and JSON only with --json", async (words, exit) => {
  const store = await openStore(configAt(join(directory, "piped")));
  store.close();
  const flags = ["--set", "state.path=piped", "--set", "admin.enabled=false"];
  const args = words[0] === "version" ? [...words] : [...words, ...flags];
  const text = await runToEnd(directory, args);
  expect([text.code, text.stdout]).toEqual([exit, expect.stringMatching(/^[a-z]\w+ /)]);
  const json = await runToEnd(directory, [...args, "--json"]);
  expect([json.code, JSON.parse(json.stdout)]).toEqual([exit, expect.any(Object)]);
});

test("a reader that closes the output early is not a failure", async () => {
  const { start } = await import("./program.ts");
  const program = start(directory, ["schema"]);
  program.process.stdout.destroy();
  const { code, stderr } = await program.ended;
  expect(stderr).toBe("");
  expect(code).toBe(0);
});

test("schema prints the JSON Schema", async () => {
  const { code, stdout } = await runToEnd(directory, ["schema"]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ title: "tailscale2otel", additionalProperties: false });
});
