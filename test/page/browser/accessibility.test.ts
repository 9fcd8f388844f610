/** Every view checked with axe in both color schemes and widths, for screen readers, keyboards and low vision. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { hasBrowser, openPage, schemes, startBrowser, type Width, widths } from "../../support/browser.ts";
import { timeoutMs } from "../../support/wait.ts";
import { type RunningDemo, show, startDemo, type View, views } from "./demo.ts";

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

interface AxeResults {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly help: string;
    readonly nodes: readonly { readonly target: readonly string[]; readonly failureSummary: string }[];
  }[];
}

/** One line per finding. axe is evaluated, because the content security policy forbids script tags. */
async function findings(page: Page): Promise<readonly string[]> {
  const { violations } = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as AxeResults;
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${impact} ${id} at ${target.join(" ")}: ${failureSummary}`),
  );
}

/** Opens collapsed parts of the page, at most eight per round. */
async function expandAll(page: Page): Promise<void> {
  for (let round = 0; round < 2; round++)
    await page.evaluate(() => {
      const closed = Array.from(document.querySelectorAll<HTMLDetailsElement>("main details:not([open])"));
      for (const details of closed.slice(0, 8)) details.open = true;
    });
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

/** Each dialog and popover of the page, opened as a user opens it. */
const dialogs: readonly (readonly [name: string, view: View, open: (page: Page) => Promise<void>])[] = [
  ["the state of the instance", "now", (page) => page.getByRole("button", { name: /^Instance:/ }).click()],
  [
    "an item of quarantine",
    "delivery",
    (page) =>
      page
        .getByRole("button", { name: /^Show \S+\.\d+$/ })
        .first()
        .click(),
  ],
  ["the question before a deletion", "delivery", (page) => page.getByRole("button", { name: /^Delete all/ }).click()],
];

describe.skipIf(!hasBrowser)("axe finds nothing", () => {
  let browser: Browser;
  let demo: RunningDemo;
  beforeAll(async () => {
    [browser, demo] = await Promise.all([startBrowser(), startDemo(["--nodes", "60"])]);
  }, timeoutMs);
  afterAll(async () => {
    await browser.close();
    await demo.stop();
  }, timeoutMs);

  test.each(Object.keys(widths) as Width[])(
    "%s",
    async (width) => {
      const { page, context } = await openPage(browser, `${demo.url}/`, { width });
      await page.evaluate(axe);
      for (const view of Object.keys(views) as View[]) {
        await show(page, view);
        await expandAll(page);
        for (const scheme of schemes) {
          await page.emulateMedia({ colorScheme: scheme });
          expect({ view, width, scheme, findings: await findings(page) }).toEqual({
            view,
            width,
            scheme,
            findings: [],
          });
        }
      }
      for (const [name, view, open] of dialogs) {
        await show(page, view);
        await open(page);
        for (const scheme of schemes) {
          await page.emulateMedia({ colorScheme: scheme });
          expect({ name, width, scheme, findings: await findings(page) }).toEqual({
            name,
            width,
            scheme,
            findings: [],
          });
        }
        await page.keyboard.press("Escape");
      }
      await context.close();
    },
    timeoutMs,
  );
});
