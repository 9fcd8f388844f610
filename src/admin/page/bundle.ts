/** Builds the live page into a few compressed files. Called as a macro while the program is transpiled. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** A file of the page: plain data, because it passes from a macro into the program. */
export interface BundledFile {
  readonly path: string;
  readonly type: string;
  /** Hash of the content. */
  readonly hash: string;
  /** gzip, in base64. */
  readonly content: string;
}

const source = join(import.meta.dirname, "../../page");

/** What is bundled: the worker, the page and its style. */
export const pageEntries = ["map/layout-worker.ts", "main.tsx", "style.css"] as const;

const javascript = "text/javascript; charset=utf-8";

/** The page's files by path. The HTML requests its files with their hashes, so that browsers cache them forever. */
export function bundle(): readonly BundledFile[] {
  const [workerEntry, scriptEntry, styleEntry] = pageEntries;
  const worker = named("layout", "js", built(workerEntry, []));
  const script = named("main", "js", built(scriptEntry, [`--define=LAYOUT_WORKER="${worker.address}"`]));
  const style = named("style", "css", built(styleEntry, []));
  const icon = named("icon", "svg", read("icon.svg"));
  const html = [script, style, icon].reduce(
    (text, { address, original }) => text.replaceAll(`"${original}"`, `"${address}"`),
    read("index.html").toString(),
  );
  const page = file("/", "text/html; charset=utf-8", Buffer.from(html));
  return [page, ...[script, worker, style, icon].map(({ path, type, bytes }) => file(path, type, bytes))];
}

interface NamedFile {
  /** As named by the HTML in the source. */
  readonly original: string;
  readonly path: string;
  /** The path with its hash. */
  readonly address: string;
  readonly type: string;
  readonly bytes: Uint8Array;
}

const types = { js: javascript, css: "text/css; charset=utf-8", svg: "image/svg+xml" } as const;

function named(name: string, extension: keyof typeof types, bytes: Uint8Array): NamedFile {
  const original = `${name}.${extension}`;
  const path = `/page/${original}`;
  return { original, path, address: `${path}?v=${hashOf(bytes)}`, type: types[extension], bytes };
}

function file(path: string, type: string, bytes: Uint8Array): BundledFile {
  return { path, type, hash: hashOf(bytes), content: gzipSync(bytes, { level: 9 }).toString("base64") };
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 12);
}

function read(name: string): Buffer {
  return readFileSync(join(source, name));
}

/** Uses a process of its own, because a macro may not call the bundler. @throws {Error} with the compiler's message. */
function built(entry: string, flags: readonly string[]): Uint8Array {
  const args = ["build", join(source, entry), "--minify", "--production", "--target=browser", ...flags];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: source, maxBuffer: 64 * 1024 ** 2 });
  if (status !== 0) throw new Error(`the page cannot be built from ${entry}: ${stderr.toString()}`);
  return stdout;
}
