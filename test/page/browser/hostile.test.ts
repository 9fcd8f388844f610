/** Hostile records on the page: names, users, values and messages that contain HTML, scripts or addresses stay text. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Locator, Page } from "playwright-core";
import {
  hasBrowser,
  openPage,
  overflowOf,
  startBrowser,
  type WatchedPage,
  type Width,
  widths,
} from "../../support/browser.ts";
import { freePort } from "../../support/port.ts";
import { auditValue, connection, enveloped, flowValue } from "../../support/records.ts";
import type { RunningProgram } from "../../support/running-program.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { timeoutMs } from "../../support/wait.ts";
import { show, type View, views } from "./demo.ts";
import { sendBody, startInstance } from "./instance.ts";

const image = "<img src=x onerror=hacked=1>";
const svg = "<svg/onload=hacked=1>";
const script = '"><script>hacked=1</script>';

/** Hostile names of nodes, users and values. Of a node's name, only the part before the first dot is shown. */
const hostile = [
  image,
  script,
  svg,
  "' onmouseover='hacked=1' x='",
  "javascript:hacked=1",
  "<style>*{display:none}</style>",
  "<a href=javascript:hacked=1>link</a>",
  "&lt;img src=x onerror=hacked=1&gt;",
  "\u202egpj.exe",
  "nul\u0000byte\u0007bell\u001b[2J",
  "__proto__",
  "constructor",
  "#/delivery?node=x",
  "${hacked=1}{{hacked=1}}",
  "\ud83d\ude00".repeat(40),
  "x".repeat(4096),
];

/** Elements that only a record could have created. */
const foreign =
  "img, iframe, object, embed, base, meta[http-equiv], script:not([src]), style, [onerror], [onload], [onmouseover], [href^='javascript:' i], [src^='javascript:' i]";

interface Hacked {
  hacked?: unknown;
}

async function expectHarmless({ page, problems }: WatchedPage, where: string): Promise<void> {
  const hacked = await page.evaluate(() => String((globalThis as Hacked).hacked));
  const elements = await page.evaluate(
    (selector) => Array.from(document.querySelectorAll(selector), (element) => element.outerHTML.slice(0, 200)),
    foreign,
  );
  const overflow = await overflowOf(page);
  expect({ where, hacked, elements, overflow, problems }).toEqual({
    where,
    hacked: "undefined",
    elements: [],
    overflow: 0,
    problems: [],
  });
}

/** Resolves once the text is shown literally. */
function expectText(place: Page | Locator, text: string): Promise<void> {
  return place.getByText(text, { exact: true }).first().waitFor({ state: "attached" });
}

describe.skipIf(!hasBrowser)("the content of records is shown as text", () => {
  const directory = temporaryDirectory();
  let browser: Browser;
  let program: RunningProgram;
  beforeAll(async () => {
    const webhookPort = await freePort();
    [browser, program] = await Promise.all([
      startBrowser(),
      startInstance({
        directory,
        encoding: "protobuf",
        settings: {
          TS2OTEL_OTLP__METRIC_INTERVAL: "60s",
          TS2OTEL_WEBHOOK__ENABLED: "true",
          TS2OTEL_WEBHOOK__LISTEN: `127.0.0.1:${webhookPort}`,
        },
      }),
    ]);
    await sendBody(
      program,
      records()
        .map((value) => JSON.stringify(value))
        .join(""),
    );
    const sent = await fetch(`http://127.0.0.1:${webhookPort}/tailscale/webhook`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(hostile.map(webhookEvent)),
    });
    expect(sent.status).toBe(200);
  }, timeoutMs);
  afterAll(async () => {
    await browser.close();
    await program.stop();
  }, timeoutMs);

  test.each(Object.keys(widths) as Width[])(
    "on every view, %s",
    async (width) => {
      const watched = await openPage(browser, `${program.admin}/`, { width });
      for (const view of Object.keys(views) as View[]) {
        await show(watched.page, view);
        await expectHarmless(watched, view);
      }
      await watched.context.close();
    },
    timeoutMs,
  );

  test(
    "in the address, whatever view it names",
    async () => {
      const watched = await openPage(browser, `${program.admin}/`);
      for (const view of Object.keys(views) as View[]) {
        for (const text of [image, script, "javascript:hacked=1", "x".repeat(300), "%", "\u202e"]) {
          const value = encodeURIComponent(text);
          await show(watched.page, view, `node=${value}&text=${value}&id=${value}&range=${value}&types=${value}`);
        }
        await expectHarmless(watched, view);
      }
      await watched.context.close();
    },
    timeoutMs,
  );

  test(
    "in every opened event and quarantined item",
    async () => {
      const watched = await openPage(browser, `${program.admin}/`);
      const { page } = watched;
      await show(page, "events");
      await page.evaluate(() => {
        for (const event of document.querySelectorAll<HTMLDetailsElement>("details.event")) event.open = true;
      });
      await page.getByRole("heading", { name: "Before and after" }).first().waitFor();
      for (const text of [image, svg]) await expectText(page.locator("main"), text);
      await expectHarmless(watched, "opened events");
      await show(page, "delivery");
      const items = page.getByRole("button", { name: /^Show \d+\.\d+$/ });
      await items.first().waitFor();
      for (const item of (await items.all()).slice(0, 6)) {
        await item.click();
        await page.getByRole("dialog").getByRole("button", { name: "Delete…" }).waitFor();
        await expectHarmless(watched, "an item of quarantine");
        await page.keyboard.press("Escape");
      }
      await watched.context.close();
    },
    timeoutMs,
  );

  test(
    "in the names of nodes in the traffic tables",
    async () => {
      const watched = await openPage(browser, `${program.admin}/`);
      await show(watched.page, "now");
      for (const title of ["Who talks to whom", "Top pairs"]) {
        const panel = watched.page.locator("section.panel").filter({ hasText: title });
        await panel.getByRole("button", { name: /^Show all/ }).click();
        for (const name of [image, script, svg]) await expectText(panel.getByRole("table"), name);
      }
      await expectHarmless(watched, "tables of traffic");
      await watched.context.close();
    },
    timeoutMs,
  );
});

function records(): readonly object[] {
  const now = Date.now();
  const at = (ago: number): string => new Date(now - ago).toISOString();
  const flows = hostile.map((name, place) =>
    flowValue({
      nodeId: `nHOSTILE${place}CNTRL`,
      start: at(10_000),
      end: at(5000),
      srcNode: { nodeId: `nHOSTILE${place}CNTRL`, name, addresses: [`100.64.1.${place + 1}`], user: name, os: name },
      dstNodes: [
        { nodeId: "nOTHERCNTRL", name: `other-${place}`, addresses: [`100.64.2.${place + 1}`], tags: [`tag:${name}`] },
      ],
      virtualTraffic: [
        connection({ src: `100.64.1.${place + 1}:40000`, dst: `100.64.2.${place + 1}:443`, txBytes: 1e6 + place }),
      ],
    }),
  );
  const changes = hostile.map((text, place) =>
    auditValue({
      eventGroupID: `hostile-${place}`,
      actor: { id: text, type: "USER", loginName: text, displayName: text },
      target: { id: text, name: text, type: "NODE", property: place % 2 === 0 ? "ACL" : text },
      action: place % 2 === 0 ? "UPDATE" : text,
      origin: text,
      actionDetails: text,
      error: place % 3 === 0 ? text : "",
      old: `{\n  "a": "${text}"\n}`,
      new: { [text]: [text, `${text}\n${text}`] },
    }),
  );
  const invalid = hostile.map((text, place) => flowValue({ nodeId: text, start: text, end: at(place) }));
  const unknown = { [image]: script, nothing: hostile };
  return [...flows, ...changes, ...invalid, unknown].map((event) => enveloped(event, now / 1000));
}

function webhookEvent(text: string, place: number): object {
  const data = {
    nodeID: text,
    deviceName: text,
    managedBy: text,
    actor: text,
    user: text,
    url: "javascript:hacked=1",
  };
  const type = ["nodeNeedsApproval", text, "userRoleUpdated"][place % 3];
  return { timestamp: new Date().toISOString(), version: 1, type, tailnet: text, message: text, data };
}
