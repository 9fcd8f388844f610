/** What a process has used, as its operating system tells: all of its threads together. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** User and system time of a process in CPU seconds. */
export function cpuSecondsOf(pid: number): number {
  if (process.platform === "linux") {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the command in parentheses, which may hold spaces: count from behind it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond();
  }
  return secondsOf(ps(pid, "time="));
}

/** Bytes of memory: the peak so far where the system keeps it, else what is resident. Ask from time to time. */
export function memoryOf(pid: number): number {
  if (process.platform === "linux") {
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(peak?.[1]) * 1024;
  }
  return Number(ps(pid, "rss=")) * 1024;
}

/** Keeps the largest value that `memoryOf` has given. */
export function watchMemory(pid: number): { readonly stop: () => number } {
  let peak = memoryOf(pid);
  const timer = setInterval(() => {
    peak = Math.max(peak, memoryOf(pid));
  }, 250);
  return {
    stop() {
      clearInterval(timer);
      return Math.max(peak, memoryOf(pid));
    },
  };
}

let ticks: number | undefined;

function ticksPerSecond(): number {
  ticks ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  return ticks;
}

function ps(pid: number, column: string): string {
  return execFileSync("ps", ["-o", column, "-p", String(pid)], {
    encoding: "utf8",
  }).trim();
}

/** `[[dd-]hh:]mm:ss.cc`, as `ps` writes a time. */
function secondsOf(text: string): number {
  const [clock = "", days = "0"] = text.split("-").reverse();
  return clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0) + Number(days) * 86_400;
}
