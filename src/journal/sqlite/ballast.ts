/** Ballast: disk space that is released when the disk is full, so that cursor, snapshot and deletion can still be written. */
import { closeSync, fsyncSync, lstatSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Unavailable } from "../../errors.ts";
import type { Logger } from "../../lib/logger.ts";
import { openExclusively } from "./directory.ts";

const blockBytes = 1024 * 1024;

/** A disk with less free space counts as full. */
const fullBelowBytes = 2 * blockBytes;

export class Ballast {
  readonly #directory: string;
  readonly #path: string;
  readonly #bytes: number;
  #isHeld: boolean;

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

  /** How much is free, and how much must be for the ballast to be reserved. */
  get room(): string {
    return `${this.#freeBytes} bytes are free, ${this.#bytes + fullBelowBytes} are needed`;
  }

  /** Reserves the space at a start. @throws {Unavailable} if the disk is too small for a new journal. */
  reserveFirst(isNew: boolean, logger: Logger): void {
    this.reserve();
    if (this.#isHeld && (this.#bytes > 0 || this.#hasRoom)) return;
    const message = `the disk of the state directory ${this.#directory} is too small: ${this.room}`;
    if (isNew) throw new Unavailable(message);
    logger.error(`${message}; nothing is accepted until there is room`);
  }

  /** Reserves the space if there is enough of it. A link in its place is removed, not followed. */
  reserve(): void {
    if (this.#isHeld) return;
    const found = lstatSync(this.#path, { throwIfNoEntry: false });
    this.#isHeld = found?.isFile() === true && found.nlink === 1 && found.size === this.#bytes;
    if (this.#isHeld || !this.#hasRoom) return;
    try {
      rmSync(this.#path, { force: true });
      this.#write();
      this.#isHeld = true;
    } catch {
      rmSync(this.#path, { force: true });
    }
  }

  /** Releases the space if the disk has none left. Returns whether it did. */
  release(): boolean {
    if (this.#bytes === 0 || !this.#isHeld || this.#freeBytes >= fullBelowBytes) return false;
    rmSync(this.#path, { force: true });
    this.#isHeld = false;
    return true;
  }

  get #hasRoom(): boolean {
    return this.#freeBytes >= this.#bytes + fullBelowBytes;
  }

  /** Infinite if the disk does not answer: it is gone then, not full. */
  get #freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.#directory);
      return bavail * bsize;
    } catch {
      return Number.POSITIVE_INFINITY;
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
