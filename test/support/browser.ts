/** A real browser, Debian's headless Chromium, whose pages record everything that should not happen. */
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const path = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");

/** Without a browser, tests that need one are skipped; in CI they fail instead. */
export const hasBrowser = path !== null || process.env.CI !== undefined;

export const widths = { wide: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } } as const;
export type Width = keyof typeof widths;

export const schemes = ["light", "dark"] as const;
export type Scheme = (typeof schemes)[number];

/** Keeps the browser from making requests of its own. */
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** @throws {Error} if Chromium is not installed. */
export function startBrowser(): Promise<Browser> {
  if (path === null) throw new Error("there is no Chromium on this machine: apt-get install chromium");
  return chromium.launch({ executablePath: path, args: flags });
}

export interface WatchedPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /**
   * Console errors and warnings, uncaught errors, content security policy violations, and requests to anything but the
   * instance.
   */
  readonly problems: string[];
}

/** Console messages for requests that fail because the instance is stopped or wants a token. */
const lostConnection = /net::ERR_|status of (?:401|503)/;

export interface PageOptions {
  readonly width?: Width;
  readonly scheme?: Scheme;
  /** True if the instance may be down, or ask for a token, for a while. */
  readonly mayFail?: boolean;
}

/** Opens a page of the instance in its own browser context. */
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

/** Figures a page measures itself. */
export interface Figures {
  /** Time from the start of the navigation to the first content, in milliseconds. */
  readonly firstContentMs: number;
  /** Durations in milliseconds of tasks that blocked the page for more than 50. */
  readonly longTasks: readonly number[];
}

interface Observed {
  observed?: { firstContentMs: number; longTasks: number[] };
}

/** Runs in the page before any other script. */
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

/** Resolves once the page has content. */
export async function figuresOf(page: Page): Promise<Figures> {
  await page.waitForFunction(() => ((globalThis as Observed).observed?.firstContentMs ?? 0) > 0);
  return page.evaluate(() => (globalThis as Observed).observed ?? { firstContentMs: 0, longTasks: [] });
}

/** The number of pixels by which the page is wider than its window. */
export function overflowOf(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
