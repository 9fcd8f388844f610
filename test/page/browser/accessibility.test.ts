/** Every view under axe, in both schemes and widths: what a screen reader, a keyboard or weak eyes need. */
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

/** One line for each finding. The policy forbids script tags, so it is evaluated. */
async function findings(page: Page): Promise<readonly string[]> {
  const { violations } = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as AxeResults;
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${impact} ${id} at ${target.join(" ")}: ${failureSummary}`),
  );
}

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
      await context.close();
    },
    timeoutMs,
  );
});
