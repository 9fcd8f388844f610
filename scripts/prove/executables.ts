/** Inspects executables of other systems, and verifies what can be verified without running them. */
import { createHash } from "node:crypto";

export interface ExecutableReport {
  /** As in target names: `linux-x64`, `darwin-arm64`. */
  readonly target: string;
  /** Further properties, in words. */
  readonly remarks: readonly string[];
}

/** @throws {Error} if the format is none that binaries are built in, or the file is damaged. */
export function inspectExecutable(bytes: Buffer): ExecutableReport {
  if (bytes.readUInt32BE(0) === 0x7f454c46) return inspectElf(bytes);
  if (bytes.readUInt32LE(0) === 0xfeedfacf) return inspectMachO(bytes);
  if (bytes.toString("latin1", 0, 2) === "MZ") return inspectPe(bytes);
  throw new Error("neither ELF, Mach-O nor PE");
}

function named<Name>(names: Readonly<Record<number, Name>>, value: number, what: string): Name {
  const name = names[value];
  if (name === undefined) throw new Error(`unexpected ${what} 0x${value.toString(16)}`);
  return name;
}

/** ELF-64 (System V ABI): its loader tells glibc from musl. */
function inspectElf(bytes: Buffer): ExecutableReport {
  const processor = named({ 62: "x64", 183: "arm64" }, bytes.readUInt16LE(18), "machine");
  const offset = Number(bytes.readBigUInt64LE(32));
  const size = bytes.readUInt16LE(54);
  const headers = Array.from({ length: bytes.readUInt16LE(56) }, (_, index) => bytes.subarray(offset + index * size));
  const interpreter = headers.find((header) => header.readUInt32LE(0) === 3);
  if (interpreter === undefined) throw new Error("names no loader");
  const at = Number(interpreter.readBigUInt64LE(8));
  const loader = bytes.toString("latin1", at, bytes.indexOf(0, at));
  return { target: `linux-${processor}${loader.includes("musl") ? "-musl" : ""}`, remarks: [`loader ${loader}`] };
}

/** Mach-O (<mach-o/loader.h>): an executable for one processor, with a code signature. */
function inspectMachO(bytes: Buffer): ExecutableReport {
  const processor = named({ 0x01000007: "x64", 0x0100000c: "arm64" }, bytes.readUInt32LE(4), "processor");
  named({ 2: "executable" }, bytes.readUInt32LE(12), "file type");
  let at = 32;
  const remarks: string[] = [];
  let signature: string | undefined;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    const command = bytes.readUInt32LE(at) & 0x7fffffff;
    // LC_LOAD_DYLIB
    if (command === 0x0c) remarks.push(bytes.toString("latin1", at + 24, bytes.indexOf(0, at + 24)));
    // LC_CODE_SIGNATURE
    if (command === 0x1d) signature = verifySignature(bytes, bytes.readUInt32LE(at + 8));
    at += bytes.readUInt32LE(at + 4);
  }
  if (signature === undefined) throw new Error("has no code signature");
  const foreign = remarks.filter((path) => !/^\/(usr\/lib|System\/Library)\//.test(path));
  if (foreign.length > 0) throw new Error(`needs libraries that no Mac has: ${foreign.join(", ")}`);
  return { target: `darwin-${processor}`, remarks: [signature, `${remarks.length} libraries of the system`] };
}

/** Verifies the hashes of all pages, as listed in the code directory of an embedded signature (<kern/cs_blobs.h>). */
function verifySignature(bytes: Buffer, offset: number): string {
  if (bytes.readUInt32BE(offset) !== 0xfade0cc0) throw new Error("the code signature is no super blob");
  const directory = bytes.subarray(offset + bytes.readUInt32BE(offset + 16));
  if (directory.readUInt32BE(0) !== 0xfade0c02) throw new Error("the code signature has no code directory");
  const hashes = directory.readUInt32BE(16);
  const count = directory.readUInt32BE(28);
  const limit = directory.readUInt32BE(32);
  const hashSize = directory.readUInt8(36);
  const pageSize = 2 ** directory.readUInt8(39);
  const isAdHoc = (directory.readUInt32BE(12) & 2) !== 0;
  const isGood = (page: number): boolean => {
    const text = bytes.subarray(page * pageSize, Math.min((page + 1) * pageSize, limit));
    const hash = createHash("sha256").update(text).digest().subarray(0, hashSize);
    return hash.equals(directory.subarray(hashes + page * hashSize, hashes + (page + 1) * hashSize));
  };
  const bad = Array.from({ length: count }, (_, page) => page).filter((page) => !isGood(page)).length;
  const kind = isAdHoc ? "ad-hoc signature" : "signature";
  return limit !== offset || bad > 0
    ? `${kind} INVALID: ${bad} of ${count} pages differ`
    : `${kind} of ${count} pages, valid`;
}

/** PE32+ (a console program). */
function inspectPe(bytes: Buffer): ExecutableReport {
  const header = bytes.readUInt32LE(0x3c);
  if (bytes.toString("latin1", header, header + 4) !== "PE\0\0") throw new Error("has no PE header");
  const processor = named({ 0x8664: "x64", 0xaa64: "arm64" }, bytes.readUInt16LE(header + 4), "machine");
  named({ 0x20b: "PE32+" }, bytes.readUInt16LE(header + 24), "optional header");
  named({ 3: "console" }, bytes.readUInt16LE(header + 24 + 68), "subsystem");
  return { target: `windows-${processor}`, remarks: ["PE32+, console"] };
}
