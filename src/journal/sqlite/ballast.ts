/** Ballast: disk space that is released when the disk is full, so that cursor, snapshot and deletion can still be written. */
import { closeSync, fsyncSync, lstatSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Unavailable } from "../../errors.ts";
import type { Logger } from "../../lib/logger.ts";
import { openExclusively, type StateDirectory } from "./directory.ts";

const blockBytes = 1024 * 1024;

/** A disk with less free space counts as full. */
const fullBelowBytes = 2 * blockBytes;

export class Ballast {
  readonly #directory: string;
  readonly #path: string;
  readonly #bytes: number;
  #isHeld: boolean;

  /**
   * Reserves it in a directory, unless `bytes` is 0. @throws {Unavailable} if the disk is too small for a new journal.
   */
  static reserved({ path, isTemporary }: StateDirectory, bytes: number, isNew: boolean, logger: Logger): Ballast {
    const ballast = new Ballast(path, isTemporary ? 0 : bytes);
    ballast.reserve();
    const { freeBytes, neededBytes } = ballast;
    if (ballast.isHeld && !(isTemporary && freeBytes < neededBytes)) return ballast;
    const message = `the disk of the state directory ${path} is too small: ${freeBytes} bytes are free, ${neededBytes} are needed`;
    if (isNew) throw new Unavailable(message);
    logger.error(`${message}; nothing is accepted until there is room`);
    return ballast;
  }

  /** With 0 bytes there is no file. */
  constructor(directory: string, bytes: number) {
    this.#directory = directory;
    this.#path = join(directory, "ballast");
    this.#bytes = bytes;
    this.#isHeld = bytes === 0;
  }

  /** Whether the space is reserved. While it is not, nothing new may be accepted. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Bytes that must be free for the ballast to be reserved. */
  get neededBytes(): number {
    return this.#bytes + fullBelowBytes;
  }

  /** Infinite if the disk does not answer: it is gone then, not full. */
  get freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.#directory);
      return bavail * bsize;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  /** Releases the space if the disk has none left. Returns whether it did. */
  release(): boolean {
    if (this.#bytes === 0 || !this.#isHeld || this.freeBytes >= fullBelowBytes) return false;
    rmSync(this.#path, { force: true });
    this.#isHeld = false;
    return true;
  }

  /** Reserves the space if there is enough of it. A link in its place is removed, not followed. */
  reserve(): void {
    if (this.#isHeld) return;
    const found = lstatSync(this.#path, { throwIfNoEntry: false });
    this.#isHeld = found?.isFile() === true && found.nlink === 1 && found.size === this.#bytes;
    if (this.#isHeld || this.freeBytes < this.neededBytes) return;
    try {
      rmSync(this.#path, { force: true });
      this.#write();
      this.#isHeld = true;
    } catch {
      rmSync(this.#path, { force: true });
    }
  }

  #write(): void {
    const file = openExclusively(this.#path);
    try {
      const block = new Uint8Array(blockBytes);
      for (let left = this.#bytes; left > 0; left -= blockBytes) {
        const wanted = Math.min(left, blockBytes);
        /** A full disk shortens writes, without an error. */
        if (writeSync(file, block, 0, wanted) < wanted) throw new Error("the disk is full");
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }
}
