/** Room on the disk that is given up when the disk is full, so that the way out of "full" never needs any: cursor, snapshot and deletion go on. */
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";

const blockBytes = 1024 * 1024;

/** With less than this the disk counts as full, and with that much beside the ballast it has recovered. */
const fullBelowBytes = 2 * blockBytes;

export class Ballast {
  readonly #path: string;
  readonly #bytes: number;
  #isHeld = false;

  /** A file of that size at that path; with 0 bytes there is none. */
  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  /** Whether the room is reserved. While it is not, nothing new must be taken. */
  get isHeld(): boolean {
    return this.#isHeld || this.#bytes === 0;
  }

  /** Gives the room up where the disk has none left. Whether it did. */
  giveUp(): boolean {
    if (!this.#isHeld || this.#freeBytes() >= fullBelowBytes) return false;
    rmSync(this.#path, { force: true });
    this.#isHeld = false;
    return true;
  }

  /** Reserves the room again, as soon as there is enough of it. */
  take(): void {
    if (this.isHeld) return;
    const present = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    if (present === this.#bytes) {
      this.#isHeld = true;
      return;
    }
    if (this.#freeBytes() < this.#bytes + fullBelowBytes) return;
    try {
      this.#write();
      this.#isHeld = true;
    } catch {
      rmSync(this.#path, { force: true });
    }
  }

  #write(): void {
    const file = openSync(this.#path, "w", 0o600);
    try {
      const block = new Uint8Array(blockBytes);
      for (let left = this.#bytes; left > 0; left -= blockBytes) writeSync(file, block, 0, Math.min(left, blockBytes));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }

  /** A disk that does not answer is not full, but gone. */
  #freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(dirname(this.#path));
      return bavail * bsize;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }
}
