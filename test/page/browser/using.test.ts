/** Using the page in a real browser: reading numbers, filtering, following links, keyboard use, retrying, deleting, canceling. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import type { RunningStatus } from "../../../src/admin/status.ts";
import { askAdmin } from "../../support/admin.ts";
import { hasBrowser, openPage, startBrowser, type WatchedPage } from "../../support/browser.ts";
import { type OtlpSink, refusing, startOtlpSink } from "../../support/otlp-sink.ts";
import { auditValue, connection, flowValue } from "../../support/records.ts";
import type { RunningProgram } from "../../support/running-program.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { timeoutMs, until } from "../../support/wait.ts";
import { show, type View, views } from "./demo.ts";
import { send, startInstance } from "./instance.ts";

const directory = temporaryDirectory();
let browser: Browser;
let sink: OtlpSink;
let program: RunningProgram;

/** A name that the backend rejects at first. */
const poison = "poison.tail1234.ts.net";
const isPoison = ({ attributes }: { readonly attributes: Readonly<Record<string, unknown>> }): boolean =>
  attributes["tailscale.target.name"] === poison;

describe.skipIf(!hasBrowser)("on the page", () => {
  beforeAll(async () => {
    sink = await startOtlpSink();
    sink.behave(refusing(isPoison));
    [browser, program] = await Promise.all([startBrowser(), startInstance({ directory, endpoint: sink.url })]);
    await send(program, ...flows(), ...changes(), flowValue({ start: "never" }), { what: "something else" });
    // Sent again, these are duplicates.
    await send(program, ...changes());
    await until(async () => {
      const { pending, deadLettered } = (await status()).conservation;
      return pending === 0 && deadLettered === 1;
    });
  }, timeoutMs);
  afterAll(async () => {
    await browser.close();
    await program.stop();
    await sink.stop();
  }, timeoutMs);

  inPage("the sums are those of /api/v1/status", async ({ page }) => {
    await show(page, "delivery");
    const { conservation } = await status();
    expect(conservation).toMatchObject({ duplicate: 3, skipped: 1, quarantined: 1, deadLettered: 1, pending: 0 });
    const { received, accepted, delivered } = conservation;
    const lines = await page.locator("main .equation").allInnerTexts();
    expect(lines.map((line) => line.replaceAll(/\s+/g, " ").trim())).toEqual([
      `received ${received} = accepted ${accepted} + duplicate 3 + skipped 1 + quarantined 1`,
      `accepted ${accepted} = delivered ${delivered} + pending 0 + dead-lettered 1`,
    ]);
    await show(page, "now");
    const figure = page.locator("dl.figures > div", { hasText: "Records accepted" });
    await until(async () => (await figure.innerText()).includes(String(accepted)));
    expect(await figure.innerText()).toContain(`${received} received`);
  });

  inPage(
    "the colors follow the system or the user's choice, and are in a form that a canvas accepts",
    async ({ page }) => {
      const colors = () =>
        page.evaluate(() => {
          const root = getComputedStyle(document.documentElement);
          const names = ["--page", "--text", "--accent", "--kind-virtual", "--kind-relayed"];
          const variables = names.map((name) => root.getPropertyValue(name).trim());
          return [root.backgroundColor, root.color, ...variables];
        });
      const shown = new Map<string, readonly string[]>();
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        for (const chosen of ["auto", "light", "dark"] as const) {
          await page.getByLabel("Color scheme").selectOption(chosen);
          await page.waitForFunction((name) => (document.documentElement.dataset["theme"] ?? "auto") === name, chosen);
          const scheme = chosen === "auto" ? colorScheme : chosen;
          const found = await colors();
          expect(found).toEqual([...(shown.get(scheme) ?? found)]);
          shown.set(scheme, found);
        }
      }
      const [light = [], dark = []] = ["light", "dark"].map((scheme) => shown.get(scheme));
      for (const [place, color] of light.entries()) expect(color).not.toBe(dark[place] as string);
      for (const color of [...light, ...dark].filter((one) => !one.startsWith("rgb")))
        expect(color).toMatch(/^#[\da-f]+$/);
    },
  );

  inPage("a click on a node filters every view, and is in the address", async ({ page }) => {
    await show(page, "now");
    const pairs = page.getByRole("table", { name: "Pairs of nodes by traffic" });
    await until(async () => (await pairs.getByRole("row").count()) === 1 + pairCount);
    await pairs.getByRole("link", { name: "node-1", exact: true }).first().click();
    await until(async () => (await pairs.getByRole("row").count()) < 1 + pairCount);
    expect(new URL(page.url()).hash).toBe("#/now?node=node-1");
    for (const row of (await pairs.getByRole("row").allInnerTexts()).slice(1)) expect(row).toContain("node-1");
    await page.getByRole("link", { name: "Events" }).first().click();
    await page.waitForURL(/#\/events\?node=node-1/);
    await until(async () => (await page.locator("details.event").count()) === 1);
    await page.getByRole("button", { name: "Remove node-1 from the filter" }).click();
    await until(async () => (await page.locator("details.event").count()) === 3);
    expect(new URL(page.url()).hash).toBe("#/events");
  });

  inPage("a link to an event opens it with its changes", async ({ page, context }) => {
    await show(page, "events");
    const event = page.locator("details.event", { hasText: "node-1.tail1234.ts.net" });
    await event.locator("summary").click();
    await event.getByRole("heading", { name: "Before and after" }).waitFor();
    const link = await event.getByRole("link", { name: /Link to this event/ }).getAttribute("href");
    const other = await context.newPage();
    await other.goto(`${program.admin}/${link}`);
    const open = other.locator("details.event[open]");
    await open.waitFor();
    await open.getByRole("heading", { name: "Before and after" }).waitFor();
    const text = await open.innerText();
    for (const part of ["node-1.tail1234.ts.net", "group-2", "before", "after"]) expect(text).toContain(part);
  });

  inPage("a text is searched for in all events", async ({ page }) => {
    await show(page, "events");
    await page.getByRole("searchbox").first().fill("POISON");
    await until(async () => (await page.locator("details.event").count()) === 1);
    expect(new URL(page.url()).hash).toContain("text=POISON");
  });

  inPage("a chosen color scheme survives a reload", async ({ page }) => {
    const ink = () => page.evaluate(() => getComputedStyle(document.body).color);
    const light = await ink();
    await page.getByLabel("Color scheme").selectOption("dark");
    await until(async () => (await ink()) !== light);
    await page.reload();
    expect(await page.getByLabel("Color scheme").inputValue()).toBe("dark");
    expect(await ink()).not.toBe(light);
  });

  inPage("the Tab key reaches every control, with a visible focus", async ({ page }) => {
    for (const view of Object.keys(views) as View[]) {
      await show(page, view);
      let found = await walk(page);
      // A control added behind the focus is reached by the next walk.
      for (let again = 0; again < 3 && found.unreached.length > 0; again++) found = await walk(page);
      expect({ view, ...found }).toEqual({ view, unreached: [], unseen: [] });
    }
  });

  inPage(
    "a quarantined record is shown and retried, a dead letter is delivered, and the rest is deleted",
    async ({ page }) => {
      await show(page, "delivery");
      const table = page.getByRole("table", { name: /Items in quarantine/ });
      await until(async () => (await table.getByRole("row").count()) === 4);
      await table
        .getByRole("row", { name: /Invalid/ })
        .getByRole("button", { name: /^Show/ })
        .click();
      const dialog = page.getByRole("dialog");
      await dialog.getByText('"never"').waitFor();
      await dialog.getByRole("button", { name: "Retry" }).click();
      await page.getByText(/stays in quarantine/).waitFor();

      sink.behave(() => ({ kind: "take" }));
      await table
        .getByRole("row", { name: /Dead letter/ })
        .getByRole("button", { name: /^Retry/ })
        .click();
      await sink.until(({ logs }) => logs.some(isPoison));
      await until(async () => (await quarantined()) === 2);
      await page.reload();
      await until(async () => (await table.getByRole("row").count()) === 3);

      await page.getByRole("button", { name: "Delete all that match…" }).click();
      await dialog.getByRole("button", { name: "Delete" }).click();
      await page.getByText("No items").waitFor();
      expect(await quarantined()).toBe(0);
    },
  );

  inPage("a replay is shown and can be canceled", async ({ page }) => {
    sink.behave(({ logs }) => (logs.length > 0 ? { kind: "status", status: 503 } : { kind: "take" }));
    const body = JSON.stringify({ since: Date.now() - 3_600_000 });
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${program.admin}/api/v1/replay`, { method: "POST", headers, body });
    expect(answer.status).toBe(200);
    await show(page, "delivery");
    await page.getByRole("button", { name: "Cancel the replay" }).click();
    await page
      .getByText(/replay of .*: cancell?ed/)
      .first()
      .waitFor();
    const { redeliveries } = await status();
    expect(redeliveries.map(({ state }) => state)).not.toContain("in progress");
  });
});

/** A test with a page of its own, which may not have any errors. */
function inPage(name: string, body: (watched: WatchedPage) => Promise<void>): void {
  test(
    name,
    async () => {
      const watched = await openPage(browser, `${program.admin}/`);
      await body(watched);
      await watched.context.close();
      expect(watched.problems).toEqual([]);
    },
    timeoutMs,
  );
}

const pairCount = 3;

function flows(): object[] {
  const now = Date.now();
  const [start, end] = [now - 10_000, now - 5000].map((at) => new Date(at).toISOString());
  const node = (number: number) => ({
    nodeId: `nNODE${number}CNTRL`,
    name: `node-${number}.tail1234.ts.net`,
    addresses: [`100.64.1.${number}`],
  });
  return [
    [1, 2],
    [2, 3],
    [3, 4],
  ].map(([from = 0, to = 0]) => {
    const virtualTraffic = [
      connection({ src: `100.64.1.${from}:40000`, dst: `100.64.1.${to}:443`, txBytes: from * 1e6 }),
    ];
    return flowValue({
      nodeId: node(from).nodeId,
      start,
      end,
      srcNode: node(from),
      dstNodes: [node(to)],
      virtualTraffic,
    });
  });
}

function changes(): object[] {
  return [poison, "node-1.tail1234.ts.net", "node-2.tail1234.ts.net"].map((name, place) =>
    auditValue({
      eventGroupID: `group-${place + 1}`,
      target: { id: `n${place}CNTRL`, name, type: "NODE", property: "ALLOWED_IPS" },
      old: ["before"],
      new: ["after"],
    }),
  );
}

async function quarantined(): Promise<number> {
  return (await askAdmin<{ items: readonly unknown[] }>(program.admin, "quarantine")).items.length;
}

function status(): Promise<RunningStatus> {
  return askAdmin<RunningStatus>(program.admin, "status");
}

interface Walk {
  /** Visible controls that Tab never reaches. */
  readonly unreached: readonly string[];
  /** Controls that look the same with and without focus. */
  readonly unseen: readonly string[];
}

/** Presses Tab until the focus is back at the start. */
async function walk(page: Page): Promise<Walk> {
  await page.evaluate(() => {
    (document.activeElement as HTMLElement | null)?.blur();
    for (const element of document.querySelectorAll("[data-reached]")) element.removeAttribute("data-reached");
  });
  const unseen: string[] = [];
  for (let steps = 0; steps < 400; steps++) {
    await page.keyboard.press("Tab");
    const found = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === null || element === document.body) return "end";
      if (element.hasAttribute("data-reached")) return "again";
      element.setAttribute("data-reached", "");
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
      const isSeen = (outlineStyle !== "none" && Number.parseFloat(outlineWidth) > 0) || boxShadow !== "none";
      return isSeen ? "seen" : element.outerHTML.slice(0, 120);
    });
    if (found === "end" && steps > 0) break;
    if (found !== "seen" && found !== "again" && found !== "end") unseen.push(found);
  }
  const unreached = await page.evaluate(() =>
    Array.from(document.querySelectorAll<HTMLElement>("a[href], button, input, select, summary, [tabindex='0']"))
      .filter(
        (element) =>
          element.checkVisibility({ visibilityProperty: true }) &&
          !element.hasAttribute("data-reached") &&
          !element.matches(":disabled, [tabindex='-1']"),
      )
      .map((element) => element.outerHTML.slice(0, 120)),
  );
  return { unreached, unseen };
}
