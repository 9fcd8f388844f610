/** A page that stays open while the instance stops, returns with another journal or version, and requires a token. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { hasBrowser, openPage, startBrowser } from "../../support/browser.ts";
import { freePort } from "../../support/port.ts";
import { auditValue } from "../../support/records.ts";
import type { RunningProgram } from "../../support/running-program.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { aWhile, longTimeoutMs, timeoutMs, until } from "../../support/wait.ts";
import { send, startInstance } from "./instance.ts";

const token = "an-admin-token";

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await startBrowser();
}, timeoutMs);
afterAll(async () => {
  await browser?.close();
});

function start(adminPort: number, settings: Readonly<Record<string, string>> = {}): Promise<RunningProgram> {
  return startInstance({ directory: temporaryDirectory(), adminPort, settings });
}

test.skipIf(!hasBrowser)(
  "an open page reports a lost connection, reconnects to another journal, and asks for a token",
  async () => {
    const adminPort = await freePort();
    const first = await start(adminPort);
    const { page, context, problems } = await openPage(browser, `${first.admin}/`, { mayFail: true });
    const well = page.getByRole("button", { name: "Instance: Accepting" });
    const lost = page.getByText("Connection lost, trying again");
    await well.waitFor();
    await page.getByText("No flow logs yet").waitFor();

    await first.stop();
    await lost.waitFor();
    await page.getByRole("button", { name: "Instance: Unknown" }).waitFor();

    const second = await start(adminPort);
    await lost.waitFor({ state: "detached" });
    await well.waitFor();

    await second.stop();
    const third = await start(adminPort, { TS2OTEL_ADMIN__TOKEN: token });
    const field = page.getByLabel("Admin token");
    await field.waitFor();
    expect(await well.count()).toBe(0);
    await field.fill("a wrong one");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("That is not the token of this instance.").waitFor();
    await field.fill(token);
    await page.keyboard.press("Enter");
    await well.waitFor();
    await page.getByRole("heading", { level: 1, name: "Now" }).waitFor();

    await page.getByRole("button", { name: "Sign out" }).click();
    await field.waitFor();
    await third.stop();
    await context.close();
    expect(problems).toEqual([]);
  },
  longTimeoutMs,
);

test.skipIf(!hasBrowser)(
  "a page of another version offers to reload, and one without local storage can still change its colors",
  async () => {
    const program = await start(await freePort());
    const { page, context, problems } = await openPage(browser, `${program.admin}/`);
    await context.addInitScript(() =>
      Object.defineProperty(globalThis, "localStorage", {
        get() {
          throw new Error("denied");
        },
      }),
    );
    await page.reload();
    await page.getByRole("button", { name: "Instance: Accepting" }).waitFor();
    await page.getByLabel("Color scheme").selectOption("dark");
    await page.waitForFunction(() => document.documentElement.dataset["theme"] === "dark");

    const now = await (await fetch(`${program.admin}/api/v1/overview`)).json();
    const body = JSON.stringify({ ...now, version: "9.9.9" });
    const message = `event: overview\ndata: ${body}\n\n`;
    await page.route("**/api/v1/overview", (route) => route.fulfill({ contentType: "application/json", body }));
    await page.route("**/api/v1/live", (route) => route.fulfill({ contentType: "text/event-stream", body: message }));
    // A browser does this when it regains a network.
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await page.getByText("Version 9.9.9 runs now").waitFor();
    await page.getByRole("button", { name: "Reload" }).click();
    await page.getByRole("button", { name: "Instance: Accepting" }).waitFor();
    await page.getByText("Version 9.9.9 runs now").waitFor({ state: "detached" });

    await context.close();
    await program.stop();
    expect(problems).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "a page without a live stream still shows new events",
  async () => {
    const program = await start(await freePort());
    const { page, context, problems } = await openPage(browser, "about:blank", { mayFail: true });
    await page.route("**/api/v1/live", (route) => route.fulfill({ status: 503 }));
    await page.goto(`${program.admin}/`);
    await page.getByText("The instance sends no live updates").waitFor();
    await send(program, auditValue());
    await page.getByText("alice@example.com").first().waitFor();

    await context.close();
    await program.stop();
    expect(problems.filter((problem) => !problem.startsWith("a request to"))).toEqual([]);
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "a page whose stream is open again stays live, whatever the outcome of an earlier request",
  async () => {
    const program = await start(await freePort());
    const { page, context } = await openPage(browser, "about:blank", { mayFail: true });
    await page.addInitScript(() => {
      const { EventSource: Original } = globalThis;
      globalThis.EventSource = class extends Original {
        constructor(url: string | URL) {
          super(url);
          addEventListener("lose", () => this.dispatchEvent(new Event("error")), { once: true });
        }
      };
    });
    await page.goto(`${program.admin}/`);
    const live = page.getByText("Live", { exact: true });
    await live.waitFor();
    const asked = Promise.withResolvers<void>();
    const isOpenAgain = Promise.withResolvers<void>();
    await page.route("**/api/v1/overview", async (route) => {
      asked.resolve();
      await isOpenAgain.promise;
      await route.abort();
    });
    await page.evaluate(() => dispatchEvent(new Event("lose")));
    await asked.promise;
    const reopened = page.waitForResponse("**/api/v1/live");
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await reopened;
    const failed = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/overview"));
    isOpenAgain.resolve();
    await failed;
    // The page has drawn its reaction before this is answered.
    await page.evaluate(async () => {
      await fetch("/api/v1/status");
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    });
    await live.waitFor();
    expect(await page.getByText("Connection lost").count()).toBe(0);
    await context.close();
    await program.stop();
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "an event streamed while the latest ones are being read stays among them",
  async () => {
    const program = await start(await freePort());
    await send(program, auditValue());
    const { page, context } = await openPage(browser, "about:blank", { mayFail: true });
    const latest = page.locator(".latest");
    await page.route("**/api/v1/events?last=20*", async (route) => {
      const response = await route.fetch();
      await send(program, auditValue({ eventGroupID: "group-2", actor: { loginName: "bob@example.com" } }));
      await latest.getByText("bob@example.com").waitFor();
      await route.fulfill({ response });
    });
    await page.goto(`${program.admin}/`);
    await latest.getByText("alice@example.com").waitFor();
    expect(await latest.getByText("bob@example.com").count()).toBe(1);
    await context.close();
    await program.stop();
  },
  timeoutMs,
);

test.skipIf(!hasBrowser)(
  "a hidden page stops its requests after a minute, and is live again as soon as it is visible",
  async () => {
    const program = await start(await freePort());
    const { page, context, problems } = await openPage(browser, "about:blank", { mayFail: true });
    await page.clock.install();
    let asked: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.goto(`${program.admin}/`);
    await page.getByText("Live", { exact: true }).waitFor();
    await until(() => asked.includes("/api/v1/map"));

    await page.evaluate(() => {
      Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await page.clock.fastForward("05:00");
    asked = [];
    await program.stop();
    await page.clock.fastForward("02:00:00");
    await aWhile();
    expect(asked).toEqual([]);

    const again = await start(Number(new URL(program.admin).port));
    await page.evaluate(() => {
      Object.defineProperty(document, "visibilityState", { value: "visible", configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await until(() => asked.includes("/api/v1/live") && asked.includes("/api/v1/map"));
    await page.getByText("Live", { exact: true }).waitFor();
    await context.close();
    await again.stop();
    expect(problems.filter((problem) => !problem.startsWith("a request to"))).toEqual([]);
  },
  timeoutMs,
);
