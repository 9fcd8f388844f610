/** The peak resident memory of a process since the last reset, and its open descriptors; Linux only. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

export const canMeasureMemory = process.platform === "linux";

/** Resets the peak to the current usage. */
export function resetPeak(pid: number): void {
  if (canMeasureMemory) writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** `VmHWM` of proc(5), in bytes; 0 if it cannot be measured. */
export function peakBytes(pid: number): number {
  if (!canMeasureMemory) return 0;
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kibibytes) * 1024;
}

/** 0 if it cannot be measured. */
export function openDescriptors(pid: number): number {
  return canMeasureMemory ? readdirSync(`/proc/${pid}/fd`).length : 0;
}
