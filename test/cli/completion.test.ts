/** Completion in real shells, each driven through a terminal, with the compiled program. */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { completionAnswer } from "../../src/cli/completion/index.ts";
import { runCommand } from "../../src/cli/run.ts";
import { programBinary } from "../support/binary.ts";
import { until } from "../support/wait.ts";
import { runToEnd, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();
const bin = join(directory, "bin");
mkdirSync(bin);
symlinkSync(programBinary(), join(bin, "tailscale2otel"));
mkdirSync(join(directory, "folder with space"));
writeFileSync(join(directory, "edge.toml"), "");
const environment = { PATH: `${bin}:${process.env["PATH"] ?? ""}`, HOME: directory, TERM: "dumb", LC_ALL: "C.UTF-8" };

/** How to start each shell without a user's configuration, and how it loads the script. */
const shells = {
  bash: {
    command: ["bash", "--norc", "--noprofile", "-i"],
    setup: `PS1='ready> '; bind 'set enable-bracketed-paste off'; eval "$(tailscale2otel completion bash)"`,
  },
  zsh: {
    command: ["zsh", "-f", "-i"],
    setup: `PROMPT='ready> '; unsetopt zle_bracketed_paste prompt_cr prompt_sp; autoload -Uz compinit && compinit -u -D; eval "$(tailscale2otel completion zsh)"`,
  },
} as const;

const isHere = (shell: string): boolean => spawnSync(shell, ["-c", "exit"]).status === 0;

/** In CI every shell is installed (`.ci/run`); elsewhere a missing one is skipped. */
const testIn = (shell: string) => (isHere(shell) || process.env["CI"] === "true" ? describe : describe.skip);

/** Opens an interactive shell with the script, in a terminal. */
async function open(shell: keyof typeof shells) {
  const { command, setup } = shells[shell];
  let screen = "";
  const child = Bun.spawn([...command], {
    cwd: directory,
    env: environment,
    terminal: {
      cols: 120,
      rows: 40,
      data: (_, data) => void (screen += stripVTControlCharacters(Buffer.from(data).toString())),
    },
  });
  const { terminal } = child;
  if (terminal === undefined) throw new Error("there is no terminal");
  terminal.write(`${setup}; printf '%s%s\\n' set up\n`);
  await until(() => screen.includes("setup"));
  return {
    /** Types a line, waits for the expected text on the screen, then discards the line. */
    async type(keys: string, expected: string): Promise<void> {
      screen = "";
      terminal.write(keys);
      await until(() => screen.includes(expected));
      terminal.write("\u0015");
    },
    async close(): Promise<void> {
      child.kill("SIGKILL");
      await child.exited;
      terminal.close();
    },
  };
}

const lines: readonly (readonly [typed: string, completed: string])[] = [
  ["tailscale2otel che\t", "tailscale2otel check "],
  ["tailscale2otel quarantine sh\t", "tailscale2otel quarantine show "],
  ["tailscale2otel check --onl\t", "tailscale2otel check --online "],
  ["tailscale2otel run --set log_lev\td\t", "tailscale2otel run --set log_level=debug "],
  ["tailscale2otel run --set=log_lev\td\t", "tailscale2otel run --set=log_level=debug "],
  ["tailscale2otel --set streaming.enab\tt\t", "tailscale2otel --set streaming.enabled=true "],
  ["tailscale2otel tail --type au\t", "tailscale2otel tail --type audit "],
  ["tailscale2otel quarantine list --class dea\t", "tailscale2otel quarantine list --class dead_letter "],
  ["tailscale2otel run --config edg\t", "tailscale2otel run --config edge.toml "],
  ["tailscale2otel run --config=edg\t", "tailscale2otel run --config=edge.toml "],
  ["tailscale2otel run --set otlp.tls.ca_file=edg\t", "tailscale2otel run --set otlp.tls.ca_file=edge.toml "],
  ["tailscale2otel run --set=admin.token_file=edg\t", "tailscale2otel run --set=admin.token_file=edge.toml "],
  ["tailscale2otel run --config fold\t", "tailscale2otel run --config folder\\ with\\ space/"],
  ["tailscale2otel help tailnet web\t", "tailscale2otel help tailnet webhook "],
];

for (const shell of ["bash", "zsh"] as const) {
  testIn(shell)(`in ${shell}`, () => {
    test("a tab completes commands, flags, words, settings and files", async () => {
      const { type, close } = await open(shell);
      for (const [typed, completed] of lines) await type(typed, completed);
      await close();
    });

    test("two tabs list the possibilities", async () => {
      const { type, close } = await open(shell);
      await type("tailscale2otel replay --\t\t", "--since");
      await close();
    });

    test("nothing that was typed is executed", async () => {
      const { type, close } = await open(shell);
      await type("tailscale2otel '$(touch evil)' `touch evil` $(touch evil) che\t\t", "che");
      await type("tailscale2otel che\t", "tailscale2otel check ");
      expect(await Bun.file(join(directory, "evil")).exists()).toBe(false);
      await close();
    });
  });
}

testIn("fish")("in fish", () => {
  /** Uses fish's own completion engine, as a tab does. */
  function complete(line: string): readonly string[] {
    const commands = `tailscale2otel completion fish | source; complete -C ${JSON.stringify(line)}`;
    const { stdout } = spawnSync("fish", ["--no-config", "-c", commands], { cwd: directory, env: environment });
    return stdout.toString().trimEnd().split("\n").filter(Boolean);
  }

  test.each([
    ["tailscale2otel che", ["check\tValidate the configuration and show every value with its origin"]],
    [
      "tailscale2otel check --onl",
      ["--online\tAlso test the API and each scope, the backend, the certificates, the …"],
    ],
    ["tailscale2otel run --set log_level=d", ["log_level=debug"]],
    ["tailscale2otel run --set=log_level=d", ["--set=log_level=debug"]],
    ["tailscale2otel quarantine list --class dea", ["dead_letter"]],
    ["tailscale2otel run --config edg", ["edge.toml"]],
    ["tailscale2otel run --config=edg", ["--config=edge.toml"]],
    ["tailscale2otel run --set otlp.tls.ca_file=edg", ["otlp.tls.ca_file=edge.toml"]],
    ["tailscale2otel version x", []],
  ])("%s", (line, expected) => {
    expect(complete(line)).toEqual(expected);
  });
});

test("settings are completed section by section", () => {
  const answer = (word: string): readonly string[] =>
    completionAnswer([runCommand], ["run", "--set", word])
      .split("\n")
      .flatMap((line) => line.split("\t", 1));
  expect(answer("")).toContain("streaming.");
  expect(answer("").length).toBeLessThan(30);
  expect(answer("streaming.tok")).toEqual([
    "streaming.token=",
    "streaming.token_file=",
    "streaming.token_previous=",
    "streaming.token_previous_file=",
    ":nospace",
    "",
  ]);
  expect(answer("otlp.head")).toEqual(["otlp.headers.", ":nospace", ""]);
  expect(answer("streaming.enabled=")).toEqual(["streaming.enabled=true", "streaming.enabled=false", ""]);
});

test("every script passes the checks of its shell", async () => {
  for (const shell of ["bash", "zsh", "fish"].filter(isHere)) {
    const { code, stdout } = await runToEnd(directory, ["completion", shell]);
    expect(code).toBe(0);
    const { status, stderr } = spawnSync(shell, ["-n"], { input: stdout, env: environment });
    expect([shell, status, stderr.toString()]).toEqual([shell, 0, ""]);
  }
});

test("the lines in the install page and the help install completion for every shell", async () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/install.md"), "utf8");
  const [, block = ""] = /## Shell completion[^]*?```sh\n([^]*?)```/.exec(page) ?? [];
  const { status, stderr } = spawnSync("sh", ["-e"], { input: block, env: environment });
  expect([status, stderr.toString()]).toEqual([0, ""]);
  expect(readFileSync(join(directory, ".bashrc"), "utf8")).toBe('eval "$(tailscale2otel completion bash)"\n');
  expect(readFileSync(join(directory, ".zshrc"), "utf8")).toBe('eval "$(tailscale2otel completion zsh)"\n');
  const fish = readFileSync(join(directory, ".config/fish/completions/tailscale2otel.fish"), "utf8");
  expect(fish).toContain("complete -c tailscale2otel");
  for (const shell of ["bash", "zsh", "fish"]) {
    const { stdout } = await runToEnd(directory, ["completion", shell, "--help"]);
    const line = block.split("\n").find((one) => one.includes(`completion ${shell}`)) ?? "";
    expect(stdout).toContain(line.replace(/ #.*/, ""));
  }
});

test("any request of a shell is answered", () => {
  expect(completionAnswer([], [])).toBe("");
  for (const words of [
    ["--"],
    ["-"],
    ["=", ""],
    ["--set", "="],
    ["--set", "=x"],
    ["no", "such", ""],
    ["run", "--config"],
  ])
    expect(completionAnswer([], words)).toBeString();
});
