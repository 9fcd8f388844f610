/** Disk space that is given up when the disk is full, so that the way out of "full" never needs any: cursor, snapshot and deletion go on. */
import { closeSync, constants, fsyncSync, lstatSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
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

  /** Whether the space is reserved. While it is not, nothing new must be accepted. */
  get isHeld(): boolean {
    return this.#isHeld || this.#bytes === 0;
  }

  /** Bytes that must be free for the ballast to be taken, beside a few that the database needs. */
  get neededBytes(): number {
    return this.#bytes + fullBelowBytes;
  }

  /** Gives the space up if the disk has none left. Whether it did. */
  giveUp(): boolean {
    if (!this.#isHeld || this.freeBytes() >= fullBelowBytes) return false;
    rmSync(this.#path, { force: true });
    this.#isHeld = false;
    return true;
  }

  /** Reserves the space again, as soon as there is enough of it. */
  take(): void {
    if (this.isHeld) return;
    const found = lstatSync(this.#path, { throwIfNoEntry: false });
    if (found?.isFile() === true && found.nlink === 1 && found.size === this.#bytes) {
      this.#isHeld = true;
      return;
    }
    if (this.freeBytes() < this.neededBytes) return;
    try {
      /** Removes a link, not what it leads to. */
      rmSync(this.#path, { force: true });
      this.#write();
      this.#isHeld = true;
    } catch {
      rmSync(this.#path, { force: true });
    }
  }

  /** A disk that does not answer is not full, but gone. */
  freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(dirname(this.#path));
      return bavail * bsize;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  /** Exclusively and never through a link. A full disk makes writes short, without an error. */
  #write(): void {
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    const noFollow = constants.O_NOFOLLOW ?? 0;
    const file = openSync(this.#path, O_WRONLY | O_CREAT | O_EXCL | noFollow, 0o600);
    try {
      const block = new Uint8Array(blockBytes);
      for (let left = this.#bytes; left > 0; left -= blockBytes) {
        const wanted = Math.min(left, blockBytes);
        if (writeSync(file, block, 0, wanted) < wanted) throw new Error("the disk is full");
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }
}
