/** A real browser: Debian's Chromium without a window, whose pages keep a list of everything that should not happen. */
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const path = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");

/** Tests that need it are left out where there is none; in CI they fail instead. */
export const hasBrowser = path !== null || process.env.CI !== undefined;

export const widths = { wide: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } } as const;
export type Width = keyof typeof widths;

export const schemes = ["light", "dark"] as const;
export type Scheme = (typeof schemes)[number];

/** It speaks to nobody by itself. */
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** @throws {Error} if there is no Chromium. */
export function startBrowser(): Promise<Browser> {
  if (path === null) throw new Error("there is no Chromium on this machine: apt-get install chromium");
  return chromium.launch({ executablePath: path, args: flags });
}

export interface WatchedPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors and warnings on the console, uncaught errors, breaches of the policy, and requests to anybody but the instance. */
  readonly problems: string[];
}

/** Requests that fail because the instance is stopped say so on the console, in these words. */
const lostConnection = /net::ERR_|status of (?:401|503)/;

export interface PageOptions {
  readonly width?: Width;
  readonly scheme?: Scheme;
  /** Whether the instance may be away, or want a token, for a while. */
  readonly mayFail?: boolean;
}

/** A page of a context of its own, opened at an address of the instance. */
export async function openPage(browser: Browser, url: string, options: PageOptions = {}): Promise<WatchedPage> {
  const { width = "wide", scheme = "light", mayFail = false } = options;
  const context = await browser.newContext({ viewport: widths[width], colorScheme: scheme });
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const problems = watch(page, new URL(url).origin, mayFail);
  await page.addInitScript(observe);
  await page.goto(url);
  return { page, context, problems };
}

function watch(page: Page, origin: string, mayFail: boolean): string[] {
  const problems: string[] = [];
  page.on("console", (message) => {
    const [type, text] = [message.type(), message.text()];
    if (type !== "error" && type !== "warning") return;
    if (!mayFail || !lostConnection.test(text)) problems.push(`${type}: ${text}`);
  });
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.message}`));
  page.on("crash", () => problems.push("the page crashed"));
  page.on("dialog", (dialog) => {
    problems.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const { origin: asked, protocol } = new URL(request.url());
    if (asked !== origin && protocol !== "data:") problems.push(`a request to ${request.url()}`);
  });
  return problems;
}

/** What a page measures itself. */
export interface Figures {
  /** From the beginning of the navigation to the first content, milliseconds. */
  readonly firstContentMs: number;
  /** Milliseconds of each task that kept the page from answering for more than 50. */
  readonly longTasks: readonly number[];
}

interface Observed {
  observed?: { firstContentMs: number; longTasks: number[] };
}

/** Runs in the page before everything else. */
function observe(): void {
  const observed = { firstContentMs: 0, longTasks: [] as number[] };
  (globalThis as Observed).observed = observed;
  new PerformanceObserver((list) => {
    for (const { name, startTime } of list.getEntries())
      if (name === "first-contentful-paint") observed.firstContentMs = startTime;
  }).observe({ type: "paint", buffered: true });
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) observed.longTasks.push(Math.round(duration));
  }).observe({ type: "longtask", buffered: true });
  document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
    reportError(new Error(`breach of the policy: ${violatedDirective} ${blockedURI}`));
  });
}

/** Resolves once there is content on the page. */
export async function figuresOf(page: Page): Promise<Figures> {
  await page.waitForFunction(() => ((globalThis as Observed).observed?.firstContentMs ?? 0) > 0);
  return page.evaluate(() => (globalThis as Observed).observed ?? { firstContentMs: 0, longTasks: [] });
}

/** By how many pixels the page is wider than its window. */
export function overflowOf(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
