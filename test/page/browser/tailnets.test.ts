/** The page of an instance with several tailnets, in a real browser: it shows one at a time, named in the address. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { hasBrowser, openPage, startBrowser } from "../../support/browser.ts";
import { startCluster } from "../../support/postgres/cluster.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { enveloped, flowValue } from "../../support/records.ts";
import type { RunningProgram } from "../../support/running-program.ts";
import { untilLeads } from "../../support/shared-journal.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { timeoutMs, until } from "../../support/wait.ts";
import { startInstance } from "./instance.ts";

const directory = temporaryDirectory();
let browser: Browser;
let program: RunningProgram;

const settings = {
  TS2OTEL_STREAMING__TOKEN: "",
  TS2OTEL_TAILNET__0__NAME: "acme",
  TS2OTEL_TAILNET__0__STREAMING__TOKEN: "token-acme",
  TS2OTEL_TAILNET__1__NAME: "globex",
  TS2OTEL_TAILNET__1__STREAMING__TOKEN: "token-globex",
};

describe.skipIf(!hasBrowser)("on the page of two tailnets", () => {
  beforeAll(async () => {
    [browser, program] = await Promise.all([startBrowser(), startInstance({ directory, settings })]);
    for (const [token, records] of [
      ["token-acme", 3],
      ["token-globex", 5],
    ] as const) {
      const body = Array.from({ length: records }, (_, n) =>
        JSON.stringify(enveloped(flowValue({ nodeId: `n${n}CNTRL` }) as never, Date.now() / 1000)),
      ).join("");
      const answer = await fetch(program.url, { method: "POST", headers: { authorization: `Splunk ${token}` }, body });
      expect(answer.status).toBe(200);
    }
  }, timeoutMs);
  afterAll(async () => {
    await browser.close();
    await program.stop();
  }, timeoutMs);

  test(
    "the first is shown, and after another is chosen, every request is for that one",
    async () => {
      const { page, context, problems } = await openPage(browser, `${program.admin}/`, { mayFail: true });
      const figure = page.locator("dl.figures > div", { hasText: "Records accepted" });
      const shows = (records: number) => until(async () => (await figure.innerText()).includes(`${records} received`));
      await shows(3);
      const choice = page.getByLabel("Tailnet");
      await until(async () => (await choice.locator("option").allInnerTexts()).join() === "acme,globex");
      expect(await choice.inputValue()).toBe("acme");
      const asked: string[] = [];
      // The previous page may still send requests.
      page.on("request", (request) => page.url().includes("globex") && asked.push(request.url()));
      await choice.selectOption("globex");
      await shows(5);
      expect(new URL(page.url()).search).toBe("?tailnet=globex");
      // The list of tailnets is requested without naming one.
      const api = asked.filter((url) => /\/api\/v1\/(?!session|instance|status$)/.test(url));
      expect(api.length).toBeGreaterThan(2);
      expect(api.filter((url) => !url.includes("tailnet=globex"))).toEqual([]);
      expect(problems).toEqual([]);
      await context.close();
    },
    timeoutMs,
  );

  test(
    "with an unknown tailnet in the address, the existing ones can be chosen",
    async () => {
      const { page, context } = await openPage(browser, `${program.admin}/?tailnet=nope`, { mayFail: true });
      await page.getByText('there is no tailnet "nope"').first().waitFor();
      const choice = page.getByLabel("Tailnet");
      await choice.selectOption("globex");
      await page.getByRole("button", { name: "Instance: Accepting" }).waitFor();
      expect(new URL(page.url()).search).toBe("?tailnet=globex");
      await context.close();
    },
    timeoutMs,
  );

  test(
    "with an unknown tailnet and only one on the instance, a link leads to that one",
    async () => {
      const single = await startInstance({ directory: temporaryDirectory() });
      const { page, context } = await openPage(browser, `${single.admin}/?tailnet=nope`, { mayFail: true });
      await page.getByRole("link", { name: "Show the only tailnet" }).click();
      await page.getByRole("button", { name: "Instance: Accepting" }).waitFor();
      expect(new URL(page.url()).search).toBe("");
      await context.close();
      await single.stop();
    },
    timeoutMs,
  );

  test.skipIf(!canHavePostgres)(
    "of a follower, a link to the leader is shown, and another tailnet can be chosen",
    async () => {
      const cluster = await startCluster();
      const shared = {
        ...settings,
        TS2OTEL_STATE__URL: await cluster.databaseUrl(),
      };
      const leader = await startInstance({ directory: temporaryDirectory(), settings: shared });
      await Promise.all(["acme", "globex"].map((name) => untilLeads(leader, `?tailnet=${name}`)));
      const follower = await startInstance({ directory: temporaryDirectory(), settings: shared });
      const { page, context } = await openPage(browser, `${follower.admin}/?tailnet=globex`, { mayFail: true });
      const choice = page.getByLabel("Tailnet");
      await until(async () => (await choice.locator("option").allInnerTexts()).join() === "acme,globex");
      expect(await choice.inputValue()).toBe("globex");
      expect(await page.getByRole("link", { name: leader.admin }).count()).toBeGreaterThan(0);
      await context.close();
      await Promise.all([leader.stop(), follower.stop()]);
      await cluster.end();
    },
    timeoutMs,
  );
});
