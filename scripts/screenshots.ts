/** `bun run screenshots`: takes screenshots of every view of the live page for the documentation, from a demo with a past. */
import { mkdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Page } from "playwright-core";
import { startDemo } from "../test/page/browser/demo.ts";
import { openPage, schemes, startBrowser, type Width, widths } from "../test/support/browser.ts";

const root = resolve(import.meta.dirname, "..");
const directory = join(root, "docs/screenshots");

/** Prepares each view before its screenshot is taken. */
const views: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  now: async () => undefined,
  async events(page) {
    const changes = await page.request.get(
      `${new URL(page.url()).origin}/api/v1/events?types=audit&text=TAILNET.ACL&last=1`,
    );
    const { events } = (await changes.json()) as { readonly events: readonly { readonly id: string }[] };
    await page.evaluate((id) => (location.hash = `#/events?id=${id}`), events[0]?.id ?? "");
    await page.getByRole("heading", { name: "Before and after" }).waitFor();
    const event = page.locator("details.event[open]");
    await event.evaluate((element) => scrollBy(0, element.getBoundingClientRect().top - 240));
  },
  delivery: async () => undefined,
  history: async () => undefined,
};

/** Time for the charts and the map to come to rest. */
const restMs = 6000;

const demo = await startDemo(["--seed", "3", "--past", "90m"]);
const browser = await startBrowser();
try {
  mkdirSync(directory, { recursive: true });
  let total = 0;
  for (const width of Object.keys(widths) as Width[]) {
    for (const scheme of schemes) {
      for (const [view, prepare] of Object.entries(views)) {
        const { page, context, problems } = await openPage(browser, `${demo.url}/#/${view}`, { width, scheme });
        await wait(restMs);
        await prepare(page);
        const path = join(directory, `${view}-${scheme}-${width}.png`);
        await page.screenshot({ path });
        await context.close();
        total += statSync(path).size;
        process.stdout.write(`${path} ${statSync(path).size} ${problems.join("; ")}\n`);
      }
    }
  }
  process.stdout.write(`${(total / 1e6).toFixed(2)} MB\n`);
} finally {
  await browser.close();
  await demo.stop();
}
