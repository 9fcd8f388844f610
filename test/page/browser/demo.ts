/** Runs the demo of the compiled binary as a process, for browser tests. */
import { spawn } from "node:child_process";
import type { Page } from "playwright-core";
import { programBinary } from "../../support/binary.ts";

export interface RunningDemo {
  /** Without a trailing slash. */
  readonly url: string;
  stop(): Promise<number | null>;
}

export async function startDemo(args: readonly string[]): Promise<RunningDemo> {
  const child = spawn(programBinary(), ["demo", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const address = Promise.withResolvers<string>();
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    if (output.length > 10_000) return;
    output += chunk;
    const [, url] = /^Open (\S+)\/ in a browser/.exec(output) ?? [];
    if (url !== undefined) address.resolve(url);
  });
  void ended.then((code) => address.reject(new Error(`the demo ended with ${code}: ${output}`)));
  return {
    url: await address.promise,
    stop() {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

export const views = { now: "Now", events: "Events", delivery: "Delivery", history: "History" } as const;
export type View = keyof typeof views;

/** Selectors that match once a view has its data, or knows that there is none. */
const filled: Readonly<Record<View, string>> = {
  now: "main table tbody tr, main .empty",
  events: "main details.event, main .empty",
  delivery: "main .verdict",
  history: "main table tbody tr, main .empty",
};

/** Opens the view and resolves once it has its data. */
export async function show(page: Page, view: View, parameters = ""): Promise<void> {
  await page.evaluate((hash) => (location.hash = hash), `#/${view}${parameters === "" ? "" : `?${parameters}`}`);
  await page.getByRole("heading", { level: 1, name: views[view] }).waitFor({ state: "attached" });
  await page.locator(filled[view]).first().waitFor({ state: "attached" });
}
