/** The view *Now* of an instance with the sample records: its numbers, and the filter that stays on every view. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import type { TrafficMap } from "../../../src/admin/traffic/index.ts";
import { hasBrowser, openPage, startBrowser } from "../../support/browser.ts";
import type { RunningProgram } from "../../support/running-program.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { timeoutMs, until } from "../../support/wait.ts";
import { show, type View, views } from "./demo.ts";
import { sendSamples, startInstance } from "./instance.ts";

const directory = temporaryDirectory();
let browser: Browser;
let program: RunningProgram;
let map: TrafficMap;

beforeAll(async () => {
  if (!hasBrowser) return;
  [browser, program] = await Promise.all([startBrowser(), startInstance({ directory })]);
  map = await sendSamples(program);
}, timeoutMs);

afterAll(async () => {
  await browser?.close();
  await program?.stop();
});

test.skipIf(!hasBrowser)(
  "a name in a table filters every view until its chip is removed, and the back button restores it",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/`);
    const pairs = page.getByRole("region", { name: "Pairs of nodes by traffic" });
    const [first] = map.pairs;
    const node = first?.from ?? "";
    const isOf = map.pairs.filter(({ from, to }) => from === node || to === node);
    expect(isOf.length).toBeLessThan(map.pairs.length);
    await pairs.getByRole("link", { name: node, exact: true }).first().click();

    const chip = page.getByRole("button", { name: `Remove ${node} from the filter` });
    await chip.waitFor();
    await until(async () => (await pairs.locator("tbody tr").count()) === isOf.length);
    await page
      .getByText(/of the chosen nodes/)
      .first()
      .waitFor();
    for (const view of Object.keys(views) as View[]) {
      await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: views[view] }).click();
      await page.getByRole("heading", { level: 1, name: views[view] }).waitFor();
      expect(await chip.isVisible()).toBe(true);
      expect(new URL(page.url()).hash).toBe(`#/${view}?${new URLSearchParams({ node })}`);
    }

    await show(page, "now", new URLSearchParams({ node: node.slice(0, -1) }).toString());
    await page.getByText(`No traffic of ${node.slice(0, -1)} in this range`).waitFor();
    await show(page, "now", new URLSearchParams({ node }).toString());
    await chip.click();
    await chip.waitFor({ state: "detached" });
    await until(async () => (await pairs.locator("tbody tr").count()) > isOf.length);
    await page.goBack();
    await chip.waitFor();
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "tables can be sorted and charts read with the keyboard alone",
  async () => {
    const { page, context, problems } = await openPage(browser, `${program.admin}/`);
    const heading = page.getByRole("columnheader", { name: "From" });
    const names = page.getByRole("region", { name: "Pairs of nodes by traffic" }).locator("tbody tr td:first-child");
    await names.first().waitFor();
    await heading.getByRole("button").focus();
    await page.keyboard.press("Enter");
    await until(async () => (await heading.getAttribute("aria-sort")) === "ascending");
    const shown = await names.allInnerTexts();
    expect(shown).toEqual(shown.toSorted((left, right) => left.localeCompare(right, undefined, { numeric: true })));

    const chart = page.getByRole("img", { name: /^Connection entries per second/ });
    await chart.focus();
    await page.keyboard.press("End");
    await page
      .getByRole("status")
      .filter({ hasText: /Between nodes +[\d.,]+\/s, Subnet routes/ })
      .waitFor({ state: "attached" });

    const figure = page.locator("figure").filter({ has: chart });
    await figure.getByRole("button", { name: /^Relayed/ }).press("Enter");
    await figure.getByRole("button", { name: /^Relayed/, pressed: false }).waitFor();
    await figure.getByText("Values as a table").click();
    await figure.getByRole("columnheader", { name: "Relayed" }).waitFor();
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "summed-up nodes are named, but are neither a link nor offered as a filter",
  async () => {
    const { page, context, problems } = await openPage(browser, "about:blank");
    const pair = { from: "__other__", to: "laptop", entries: 1, txBytes: 5, rxBytes: 5, kinds: { virtual: 10 } };
    await page.route("**/api/v1/map?*", (route) => route.fulfill({ json: { ...map, pairs: [pair], nodes: [] } }));
    await page.goto(`${program.admin}/`);
    const pairs = page.getByRole("region", { name: "Pairs of nodes by traffic" });
    await pairs.getByText("other nodes", { exact: true }).waitFor();
    expect(await pairs.getByRole("link").allInnerTexts()).toEqual(["laptop"]);
    await page.locator("#known-nodes option").first().waitFor({ state: "attached" });
    const offered = await page
      .locator("#known-nodes option")
      .evaluateAll((all) => all.map((one) => one.getAttribute("value")));
    expect(offered).toEqual(["laptop"]);
    await context.close();
    expect(problems.filter((problem) => !problem.startsWith("a request to"))).toEqual([]);
  },
  timeoutMs,
);
