/** Reads the resource usage of a process from Linux's `/proc`, CPU by thread and memory, and the size of its journal. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/** User and system time of a process, including all its threads. */
export function cpuSecondsOf(pid: number): number {
  return secondsIn(`/proc/${pid}/stat`);
}

export interface ThreadUsage {
  readonly id: number;
  readonly name: string;
  readonly seconds: number;
}

/** User and system time of each current thread. */
export function threadsOf(pid: number): readonly ThreadUsage[] {
  return readdirSync(`/proc/${pid}/task`).map((id) => ({
    id: Number(id),
    name: readFileSync(`/proc/${pid}/task/${id}/comm`, "utf8").trim(),
    seconds: secondsIn(`/proc/${pid}/task/${id}/stat`),
  }));
}

/** `VmRSS`: resident now; `VmHWM`: the maximum since the process started. */
export function memoryOf(pid: number, name: "VmRSS" | "VmHWM"): number {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1]) * 1024;
}

/** Samples four times a second: seconds since the start, and resident bytes. */
export function watchMemory(pid: number) {
  const samples: { second: number; bytes: number }[] = [];
  const startedAt = performance.now();
  const timer = setInterval(() => {
    samples.push({ second: (performance.now() - startedAt) / 1000, bytes: memoryOf(pid, "VmRSS") });
  }, 250);
  return { samples, stop: () => clearInterval(timer) };
}

/** Bytes of the pages in use in a SQLite database that nobody writes to, including its write-ahead log. */
export function usedBytesOf(databasePath: string): number {
  const database = new DatabaseSync(databasePath, { readOnly: true });
  try {
    const read = (pragma: string) => Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
    return (read("page_count") - read("freelist_count")) * read("page_size");
  } finally {
    database.close();
  }
}

let ticksPerSecond: number | undefined;

/** CPU time from a `stat` file of a process or thread. */
function secondsIn(path: string): number {
  ticksPerSecond ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  const stat = readFileSync(path, "utf8");
  // The second field is the command in parentheses and may contain spaces, so fields are counted after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}
