/** The `move` command: moves the journal of a stopped instance from SQLite to PostgreSQL. */
import { type Config, type ConfigSources, loadSections, tailnetConfigs } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { type Move, moveJournal, type MoveProgress, type Sums } from "../journal/index.ts";
import { systemClock } from "../lib/clock.ts";
import { formatDuration } from "../lib/units.ts";
import { onSignal } from "../runtime/process.ts";
import { type Command, command } from "./command.ts";
import { chosenTailnet, configFlags, jsonFlag, option, UsageError } from "./flags.ts";
import { type Host, tableText } from "./terminal.ts";

export const moveCommand: Command = command({
  name: "move",
  description: "Move the journal of a stopped instance from SQLite to PostgreSQL",
  args: {
    ...configFlags,
    to: option("url", "Address of the database, as in state.url. Other users of this machine may see it."),
    "to-file": option("path", "File with the address of the database. (Default: state.url of the configuration)"),
    tailnet: option("name", "Only the tailnet of that section. (Default: all, one after another)"),
    ...jsonFlag,
  },
  examples: [
    ["tailscale2otel move --to-file /etc/tailscale2otel/state-url", "the address is in a file"],
    ["tailscale2otel move --to postgres://tailscale2otel@db.example.com/tailscale2otel", ""],
    ["tailscale2otel move", "to state.url of the configuration, or of TS2OTEL_STATE__URL"],
  ],
  notes:
    "The schema (state.schema) must be empty or missing. The move can be interrupted at any time: the same command goes on where it ended, and until it is complete no instance starts on that schema. The journal in state.path is not changed; afterwards, the file moved-to in it keeps instances from starting there.",
  async run({ args, sources, host }) {
    const { to, "to-file": file } = args;
    if (to !== undefined && file !== undefined) throw new UsageError("--to and --to-file exclude each other");
    const given = [
      ...(to === undefined ? [] : [`state.url=${to}`]),
      ...(file === undefined ? [] : [`state.url_file=${file}`]),
    ];
    const config = stateIn({ ...sources, assignments: [...sources.assignments, ...given] });
    if (config.state.url === "") throw new UsageError("--to, --to-file or state.url is required");
    const all = args.tailnet === undefined ? tailnetConfigs(config) : [chosenTailnet(config, args.tailnet)];
    const stop = new AbortController();
    const releases = (["SIGINT", "SIGTERM"] as const).map((signal) => onSignal(signal, () => stop.abort()));
    const shown = progressOn(host, args.json === true);
    try {
      const deps = { now: systemClock(), onProgress: shown.draw, stop: stop.signal };
      const moves: (Move & { readonly from: string })[] = [];
      for (const { config: own } of all) moves.push({ from: own.state.path, ...(await moveJournal(own, deps)) });
      await shown.end();
      return { text: moves.map((move) => textOf(move, host)).join("\n"), json: moves };
    } catch (error) {
      await shown.end();
      if (!stop.signal.aborted) throw error;
      throw new Error("interrupted: the same command goes on where this one ended", { cause: error });
    } finally {
      for (const release of releases) release();
    }
  },
});

/** @throws {ConfigError} with the flags as given. */
function stateIn(sources: ConfigSources): Config {
  try {
    return loadSections(sources, ["state", "tailnet"]).config;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const named = (problem: string) =>
      problem.replace(/^--set state\.url_file: /, "--to-file: ").replace(/^--set state\.url: /, "--to: ");
    throw new ConfigError(error.problems.map(named));
  }
}

const names: readonly (readonly [name: keyof Sums, words: string])[] = [
  ["accepted", "records accepted"],
  ["delivered", "delivered"],
  ["pending", "pending"],
  ["deadLettered", "dead-lettered"],
  ["rows", "rows"],
  ["records", "records in them"],
  ["bytes", "bytes in them"],
  ["keys", "keys"],
  ["marks", "quarantine and dead letters"],
  ["minutes", "minutes of history"],
];

function textOf({ from, to, sums }: Move & { readonly from: string }, { out }: Host): string {
  const next = "Set state.url (or state.url_file), and start the instances.";
  if (sums === undefined) return `${from} was moved to ${to} before: nothing is left to do. ${next}\n`;
  const rows = names.map(([name, words]) => [words, String(sums[name]), String(sums[name])]);
  return `${tableText(["", "SQLite", "PostgreSQL"], rows, out)}\nmoved from ${from} to ${to}\n${next}\n`;
}

const barWidth = 20;
const drawEveryMs = 100;
const printEveryMs = 10_000;

/** The weight of a key in the progress: moving one takes as long as this many bytes. */
const bytesPerKey = 500;

/** On a terminal, updates a single line; otherwise, prints a line from time to time. */
function progressOn({ err }: Host, isQuiet: boolean) {
  const isDrawn = err.isTerminal && !isQuiet;
  const begunAt = performance.now();
  let first: number | undefined;
  let drawnAt = begunAt;
  return {
    draw({ bytes, keys, of }: MoveProgress): void {
      const now = performance.now();
      const done = bytes + keys * bytesPerKey;
      const all = Math.max(1, of.bytes + of.keys * bytesPerKey);
      first ??= done;
      if (isQuiet || now - drawnAt < (isDrawn ? drawEveryMs : printEveryMs)) return;
      drawnAt = now;
      const rate = Math.max(1, (done - first) / ((now - begunAt) / 1000));
      const part = Math.min(1, done / all);
      const left = formatDuration(Math.ceil(Math.max(0, all - done) / rate) * 1000);
      const bar = isDrawn ? `${"█".repeat(Math.round(part * barWidth)).padEnd(barWidth, "░")} ` : "";
      const mebibytes = (size: number) => `${Math.round(size / 2 ** 20)} MiB`;
      const line = `${bar}${Math.floor(part * 100)}%, ${mebibytes(bytes)} of ${mebibytes(of.bytes)}, ${keys} of ${of.keys} keys, ${mebibytes(rate)}/s, ${left} left`;
      void err.write(isDrawn ? `\r\u001b[2K${line}` : `${line}\n`).catch(() => undefined);
    },
    async end(): Promise<void> {
      if (isDrawn) await err.write("\r\u001b[2K");
    },
  };
}
