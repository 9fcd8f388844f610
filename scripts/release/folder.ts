/** Assembles the folder of a release: packed binaries, checksums, and their signature. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import type { BuiltFile, Target } from "../build/compile.ts";
import { rootDir, type Stamp } from "../build/stamp.ts";

/** The project's address, with the releases below it, as in `install.sh`. */
export const homepage = "https://github.com/tailscale2otel/tailscale2otel";

/**
 * Compresses a binary into the folder, and returns the file's name. gzip is the one format that Linux and macOS can unpack without
 * installing anything, and zip the one that Windows can; xz would save a quarter.
 */
export function packBinary(target: Target, binary: string, { version }: Stamp, folder: string): string {
  const name = `tailscale2otel-${version}-${target.name}`;
  const isZip = target.executable.endsWith(".exe");
  const bytes = readFileSync(binary);
  const packed = isZip ? zipOf(target.executable, bytes) : gzipSync(bytes, { level: 9 });
  const file = `${name}.${isZip ? "zip" : "gz"}`;
  writeFileSync(join(folder, file), packed);
  return file;
}

/**
 * Writes `VERSION`, `SHA256SUMS` of all files and, given a key, `SHA256SUMS.sig`: ECDSA over P-256 with SHA-256,
 * which every openssl since 1.0 and LibreSSL verify with `openssl dgst`.
 */
export function sealFolder(folder: string, { version }: Stamp, key?: KeyObject): void {
  writeFileSync(join(folder, "VERSION"), `${version}\n`);
  const sums = readdirSync(folder)
    .sort()
    .map((name) => `${sha256(join(folder, name))}  ${name}\n`)
    .join("");
  writeFileSync(join(folder, "SHA256SUMS"), sums);
  if (key !== undefined) writeFileSync(join(folder, "SHA256SUMS.sig"), sign("sha256", Buffer.from(sums), key));
}

/** Moves the finished folder into place as a whole. */
export function publishFolder(staged: string, folder: string): readonly BuiltFile[] {
  mkdirSync(dirname(folder), { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  renameSync(staged, folder);
  return readdirSync(folder)
    .sort()
    .map((name) => ({ path: join(folder, name), bytes: statSync(join(folder, name)).size }));
}

export function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/**
 * The key to sign with: PEM text in `TS2OTEL_SIGNING_KEY`, or a file that `TS2OTEL_SIGNING_KEY_FILE` names; `undefined` if
 * neither is set.
 * @throws {Error} if it is not a P-256 key, or not the one that `install.sh` verifies with.
 */
export function readSigningKey(environment: NodeJS.ProcessEnv, installer: string): KeyObject | undefined {
  const { TS2OTEL_SIGNING_KEY: text, TS2OTEL_SIGNING_KEY_FILE: file } = environment;
  if (text === undefined && file === undefined) return undefined;
  const name = text === undefined ? "TS2OTEL_SIGNING_KEY_FILE" : "TS2OTEL_SIGNING_KEY";
  const key = privateKeyOf(text ?? readKeyFile(file ?? ""), name);
  if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1")
    throw new Error(`${name} must be a P-256 key: openssl ecparam -name prime256v1 -genkey -noout -out release.key`);
  const known = releaseKeyOf(installer);
  if (known !== "" && known !== publicText(key))
    throw new Error(`${name} is not the key that install.sh verifies with; see "Making a release" in CONTRIBUTING.md`);
  return key;
}

/** The public key that the given `install.sh` verifies with, in PEM; empty while there is none. */
export function releaseKeyOf(installer: string): string {
  const [, text = ""] = /^release_key='([^']*)'$/m.exec(installer) ?? [];
  return text;
}

export function readInstaller(): string {
  return readFileSync(join(rootDir, "install.sh"), "utf8");
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot read TS2OTEL_SIGNING_KEY_FILE: ${reason}`, { cause: error });
  }
}

function privateKeyOf(pem: string, name: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error(`${name} is no private key in PEM, or it is encrypted: decrypt it with openssl pkey -in <file>`);
  }
}

function publicText(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "pem" }).toString().trim();
}

/** 1980-01-01, the earliest date in the format. */
const zipDate = (1 << 5) | 1;

/** A zip archive of one file. APPNOTE.TXT 6.3: a local header with the data, the central directory, and its end record. */
function zipOf(name: string, bytes: Buffer): Buffer {
  const packed = deflateRawSync(bytes, { level: 9 });
  const common = Buffer.alloc(26);
  common.writeUInt16LE(20, 0); // needs version 2.0: deflate
  common.writeUInt16LE(8, 4); // deflate
  common.writeUInt16LE(zipDate, 8);
  common.writeUInt32LE(crc32(bytes), 10);
  common.writeUInt32LE(packed.length, 14);
  common.writeUInt32LE(bytes.length, 18);
  common.writeUInt16LE(name.length, 22);
  const local = [Buffer.from("PK\u0003\u0004"), common, Buffer.from(name), packed];
  const central = [Buffer.from("PK\u0001\u0002\u0014\u0000"), common, Buffer.alloc(14), Buffer.from(name)];
  const sizeOf = (parts: readonly Buffer[]): number => parts.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(1, 4);
  end.writeUInt16LE(1, 6);
  end.writeUInt32LE(sizeOf(central), 8);
  end.writeUInt32LE(sizeOf(local), 12);
  return Buffer.concat([...local, ...central, Buffer.from("PK\u0005\u0006"), end]);
}
