/** The view *Delivery* in a real browser, while the instance has not answered yet or cannot. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { hasBrowser, openPage, startBrowser } from "../../support/browser.ts";
import { flowValue } from "../../support/records.ts";
import type { RunningProgram } from "../../support/running-program.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { timeoutMs } from "../../support/wait.ts";
import { send, startInstance } from "./instance.ts";

const directory = temporaryDirectory();
let browser: Browser;
let program: RunningProgram;

describe.skipIf(!hasBrowser)("on Delivery", () => {
  beforeAll(async () => {
    [browser, program] = await Promise.all([startBrowser(), startInstance({ directory })]);
    await send(program, flowValue({ start: "yesterday" }));
  }, timeoutMs);
  afterAll(async () => {
    await browser.close();
    await program.stop();
  }, timeoutMs);

  test(
    "nothing can be deleted by a filter until its matches are known",
    async () => {
      const { page, context } = await openPage(browser, `${program.admin}/#/delivery`, { mayFail: true });
      const row = page.getByRole("button", { name: /^Show \d/ });
      const deletes = page.getByRole("button", { name: "Delete all that match…" });
      await row.waitFor();
      expect(await deletes.isEnabled()).toBe(true);

      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      await page.route("**/api/v1/quarantine?*class=sample*", async (route) => {
        asked.resolve();
        await answer.promise;
        await route.fulfill({ status: 503, json: { text: "reading fails" } });
      });
      await page.getByLabel("Class").selectOption("sample");
      await asked.promise;
      expect(await deletes.isEnabled()).toBe(false);

      answer.resolve();
      await page.getByText("reading fails. Trying again.").waitFor();
      expect(await deletes.isEnabled()).toBe(false);
      expect(await row.count()).toBe(0);
      await context.close();
    },
    timeoutMs,
  );

  test(
    "the page does not say that there are no warnings if it could not read them",
    async () => {
      const { page, context } = await openPage(browser, "about:blank", { mayFail: true });
      await page.route("**/api/v1/instance", (route) => route.fulfill({ status: 503, json: { text: "not now" } }));
      await page.goto(`${program.admin}/#/delivery`);
      await page.getByText("not now. Trying again.").waitFor();
      expect(await page.getByText("No warnings").count()).toBe(0);
      await context.close();
    },
    timeoutMs,
  );
});
