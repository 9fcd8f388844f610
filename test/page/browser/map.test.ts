/** The node map of an instance with the sample records: laid out by the real worker, used with keyboard, search and pointer. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import type { TrafficMap } from "../../../src/admin/traffic/index.ts";
import { hasBrowser, openPage, startBrowser } from "../../support/browser.ts";
import type { RunningProgram } from "../../support/running-program.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { timeoutMs, until } from "../../support/wait.ts";
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

/** The page once its map is drawn, without motion. */
async function openMap() {
  const opened = await openPage(browser, `${program.admin}/`);
  await opened.page.emulateMedia({ reducedMotion: "reduce" });
  await opened.page.reload();
  await until(async () => (await picture(opened.page)) !== (await emptyPicture(opened.page)));
  return opened;
}

function picture(page: Page): Promise<string> {
  return page.locator(".map canvas").evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
}

/** The picture of an empty canvas of the map's size. */
function emptyPicture(page: Page): Promise<string> {
  return page.locator(".map canvas").evaluate((canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    return Object.assign(document.createElement("canvas"), { width, height }).toDataURL();
  });
}

test.skipIf(!hasBrowser)(
  "nodes are drawn, found, and used as filters with the keyboard and the pointer",
  async () => {
    const { page, context, problems } = await openMap();
    const frame = page.getByRole("application", { name: "Node map" });
    const said = page.locator(".map > [role=status]");
    await frame.focus();
    await page.keyboard.press("ArrowRight");
    await until(async () => (await said.innerText()).endsWith(" peers"));
    const [busiest = ""] = (await said.innerText()).split(", ");
    await page.keyboard.press("Enter");
    const chip = (name: string) => page.getByRole("button", { name: `Remove ${name} from the filter` });
    await chip(busiest).waitFor();
    await page.keyboard.press("Escape");
    await chip(busiest).waitFor({ state: "detached" });

    const wanted = map.pairs.map(({ to }) => to).find((name) => name !== busiest) ?? "";
    await page.getByRole("combobox", { name: "Find node" }).fill(wanted);
    await page.keyboard.press("Enter");
    await until(async () => (await said.innerText()).startsWith(`${wanted}, `));
    const { x, y, width, height } = (await page.locator(".map canvas").boundingBox()) ?? expect.unreachable();
    // The map centers the node that was found.
    await until(async () => {
      await page.mouse.move(x + width / 2, y + height / 2 + Math.random());
      return (await page.locator(".map-tooltip").allInnerTexts()).join().startsWith(wanted);
    });
    await page.mouse.click(x + width / 2, y + height / 2);
    await chip(wanted).waitFor();
    await page.mouse.click(x + 3, y + 3);
    await chip(wanted).waitFor({ state: "detached" });

    await page.getByRole("button", { name: "Expand" }).click();
    await page.getByRole("navigation", { name: "Views" }).waitFor({ state: "attached" });
    expect(await page.locator("header [inert], header[inert], [inert] header").count()).toBeGreaterThan(0);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Expand", pressed: false }).waitFor();
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "a wheel over the map scrolls the page until the map is in use",
  async () => {
    const { page, context, problems } = await openMap();
    const scrolled = (): Promise<number> => page.evaluate(() => scrollY);
    await page.locator(".map canvas").hover();
    await page.mouse.wheel(0, 60);
    await until(async () => (await scrolled()) > 0);
    const before = await scrolled();
    await page.getByRole("application", { name: "Node map" }).focus();
    const shown = await picture(page);
    await page.mouse.wheel(0, -200);
    await until(async () => (await picture(page)) !== shown);
    expect(await scrolled()).toBe(before);
    await context.close();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);
