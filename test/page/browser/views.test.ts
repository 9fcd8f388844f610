/** Every view of a demo in a real browser, wide and narrow, light and dark: no errors, no overflow, and a fast first paint. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import {
  figuresOf,
  hasBrowser,
  openPage,
  overflowOf,
  schemes,
  startBrowser,
  type Width,
  widths,
} from "../../support/browser.ts";
import { timeoutMs } from "../../support/wait.ts";
import { type RunningDemo, show, startDemo, type View, views } from "./demo.ts";

/** It takes 200 ms on an idle machine; a busy one may take many times as long. */
const maxFirstContentMs = 10_000;

/** An idle machine has fewer than ten in a walk through all views; on a busy one, short tasks become long. */
const maxLongTasks = 200;

describe.skipIf(!hasBrowser).each([60, 500])("of %d nodes", (nodes) => {
  let browser: Browser;
  let demo: RunningDemo;
  beforeAll(async () => {
    [browser, demo] = await Promise.all([startBrowser(), startDemo(["--nodes", String(nodes)])]);
  }, timeoutMs);
  afterAll(async () => {
    await browser.close();
    expect(await demo.stop()).toBe(0);
  }, timeoutMs);

  test.each(Object.keys(widths) as Width[])(
    "%s, in both schemes",
    async (width) => {
      const { page, context, problems } = await openPage(browser, `${demo.url}/`, { width });
      for (const scheme of schemes) {
        await page.emulateMedia({ colorScheme: scheme });
        for (const view of Object.keys(views) as View[]) {
          await show(page, view);
          expect({ view, width, scheme, overflow: await overflowOf(page) }).toEqual({
            view,
            width,
            scheme,
            overflow: 0,
          });
        }
      }
      const { firstContentMs, longTasks } = await figuresOf(page);
      expect(firstContentMs).toBeLessThan(maxFirstContentMs);
      expect(longTasks.length).toBeLessThan(maxLongTasks);
      await context.close();
      expect(problems).toEqual([]);
    },
    timeoutMs,
  );
});
