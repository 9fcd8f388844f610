/** The views *Events* and *History* of a real instance: search, diffs, live events, links, and time ranges. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser, Locator, Page } from "playwright-core";
import { hasBrowser, openPage, startBrowser } from "../../support/browser.ts";
import { auditValue, flowValue } from "../../support/records.ts";
import type { RunningProgram } from "../../support/running-program.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { timeoutMs, until } from "../../support/wait.ts";
import { send, startInstance } from "./instance.ts";

const directory = temporaryDirectory();
let browser: Browser;
let program: RunningProgram;

beforeAll(async () => {
  if (!hasBrowser) return;
  [browser, program] = await Promise.all([startBrowser(), startInstance({ directory })]);
  const lines = Array.from({ length: 800 }, (_, n) => `  "rule ${n}": "tag:a",`);
  const policy = auditValue({
    eventGroupID: "policy",
    old: lines.join("\n"),
    new: lines.toSpliced(700, 1, '  "rule 700": "tag:b",').join("\n"),
  });
  await send(program, flowValue(), policy, ...numbered(0, 60));
}, timeoutMs);

afterAll(async () => {
  await browser?.close();
  await program?.stop();
});

const numbered = (from: number, count: number): object[] =>
  Array.from({ length: count }, (_, n) =>
    auditValue({
      eventGroupID: `g${from + n}`,
      target: { id: "T1", name: `number-${from + n}`, type: "TAILNET", property: "DNS_CONFIG" },
      old: "off",
      new: "on",
    }),
  );

const events = (page: Page): Locator => page.getByRole("listitem").filter({ has: page.locator("summary") });

async function firstIs(page: Page, text: string): Promise<void> {
  await until(async () => (await events(page).first().textContent())?.includes(text) === true);
}

test.skipIf(!hasBrowser)(
  "a change to a long policy is found by a word, and shows the line that differs",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/#/events`);
    await firstIs(page, "number-59");
    await page.getByRole("searchbox", { name: "Search in events" }).fill("ALICE acl");
    await until(async () => (await events(page).count()) === 1);
    expect(new URL(page.url()).hash).toBe("#/events?text=ALICE+acl");
    await page.locator("summary").first().focus();
    await page.keyboard.press("Enter");
    await page.getByText("1 line removed, 1 line added").waitFor();
    const [removed, added] = [page.getByRole("deletion"), page.getByRole("insertion")];
    expect([await removed.textContent(), await added.textContent()]).toEqual([
      '  "rule 700": "tag:a",',
      '  "rule 700": "tag:b",',
    ]);
    await page.getByRole("button", { name: "697 unchanged lines" }).waitFor();
    // It is not a landmark, because several with this name may be open.
    expect(await page.getByRole("group", { name: "Differing lines" }).count()).toBe(1);
    await page.getByRole("searchbox", { name: "Search in events" }).fill("nobody did this");
    await page.getByText("No event matches").waitFor();
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "a choice made while typing a search text is kept",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/#/events`);
    await firstIs(page, "number-59");
    await page.getByRole("searchbox", { name: "Search in events" }).fill("number-59");
    await page.getByRole("button", { name: "Webhook" }).click();
    await page.waitForURL(/text=number-59/);
    expect(new URL(page.url()).hash).toBe("#/events?types=audit&text=number-59");
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "new events appear on top, or wait while somebody reads further down",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/#/events`);
    await firstIs(page, "number-59");
    await send(program, ...numbered(60, 1));
    await firstIs(page, "number-60");
    const read = events(page).nth(30);
    await read.scrollIntoViewIfNeeded();
    await page.evaluate(() => scrollBy(0, 300));
    const place = async (): Promise<number> => (await read.boundingBox())?.y ?? Number.NaN;
    const before = await place();
    await send(program, ...numbered(61, 2));
    const news = page.getByRole("button", { name: "2 new events" });
    await news.waitFor();
    // Less than the height of a list row.
    expect(Math.abs((await place()) - before)).toBeLessThan(10);
    await news.click();
    await firstIs(page, "number-62");
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "a link to an event opens it among its neighbors, or says that it has left the journal",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/#/events?text=number-20`);
    await page.locator("summary").first().click();
    await page.getByRole("link", { name: "Link to this event and those around it" }).click();
    await page.getByText("One event and those around it").waitFor();
    await until(async () => (await page.locator("details[open]").count()) === 1);
    expect(await page.locator("details[open] summary").textContent()).toContain("number-20");
    await page.evaluate(() => (location.hash = "#/events?id=abc.1.0.0"));
    await page.getByText("The event of this link has left the journal").waitFor();
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "the history shows everything or the chosen range, and its fields show which",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/#/history`);
    const hours = async (): Promise<number> => {
      const times = await Promise.all(
        ["From", "to"].map((name) => page.getByLabel(name, { exact: true }).inputValue()),
      );
      const [from = 0, to = 0] = times.map((time) => new Date(time).getTime());
      return (to - from) / 3_600_000;
    };
    const chosen = (name: string): Locator => page.getByRole("button", { name, exact: true, pressed: true });
    await chosen("All").waitFor();
    await until(async () => (await hours()) > 0);
    expect(await hours()).toBeLessThan(1);
    await page.getByText("All that the journal keeps").waitFor();
    await page.getByRole("button", { name: "24 hours" }).click();
    await chosen("24 hours").waitFor();
    await page.getByText("The first record of this range came at").waitFor();
    expect([await hours(), new URL(page.url()).hash]).toEqual([24, "#/history?span=24h"]);
    await page.getByRole("button", { name: "All", exact: true }).click();
    await until(async () => (await hours()) < 1);
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "a mark in the history leads to its events, and a typed range is validated",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/#/history?span=1h`);
    await page
      .getByRole("link", { name: /audit events?, / })
      .first()
      .waitFor();
    const [from, show] = [page.getByLabel("From"), page.getByRole("button", { name: "Show", exact: true })];
    await from.fill("2099-01-01T00:00");
    await show.click();
    await page.getByText("The end must be after the beginning.").waitFor();
    await from.fill("2026-01-01T00:00");
    await show.click();
    await until(() => new URL(page.url()).hash.includes("since="));
    await page.goBack();
    await page
      .getByRole("link", { name: /audit events?, / })
      .last()
      .click();
    await page.getByText(/^Received from .* to /).waitFor();
    await events(page).first().waitFor();
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "events replaced by newer ones leave no listeners behind",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/#/events?text=number-`);
    const session = await context.newCDPSession(page);
    await events(page).first().waitFor();
    for (let from = 1000; from < 2500; from += 300) {
      await send(program, ...numbered(from, 300));
      await firstIs(page, `number-${from + 299}`);
    }
    expect(await events(page).count()).toBeLessThanOrEqual(1000);
    await until(async () => {
      await session.send("HeapProfiler.collectGarbage");
      // One listener per event, and those of the page itself.
      return (await session.send("Memory.getDOMCounters")).jsEventListeners < 1200;
    });
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);
