/** The routes of the live page: its HTML and the files that it loads. They contain no data, so no token is required. */
import { gunzipSync } from "node:zlib";
import { type Exchange, type HttpAnswer, jsonResponse } from "../../http/exchange.ts";
import type { Route } from "../../http/router.ts";

/** The paths of all files, known before any file is loaded. */
const paths = ["/page/main.js", "/page/layout.js", "/page/style.css", "/page/icon.svg"];

export const pageRoutes: readonly Route[] = [
  { path: "/", methods: { GET: answerWithHtml } },
  ...paths.map((path): Route => ({ path, methods: { GET: answerWithFile } })),
];

type Asked = Pick<Exchange, "path" | "request">;

/** Programs that ask for JSON get 404. */
function answerWithHtml(exchange: Asked): HttpAnswer | Promise<HttpAnswer> {
  const accept = exchange.request.headers.get("accept") ?? "*/*";
  return /text\/html|\*\/\*/.test(accept) ? answerWithFile(exchange) : notFound;
}

async function answerWithFile({ path, request }: Asked): Promise<HttpAnswer> {
  // Loaded by the first request, so that an instance whose page is not used does without.
  const { pageFiles } = await import("./files.ts");
  const file = pageFiles.find((one) => one.path === path);
  if (file === undefined) return notFound;
  const etag = `W/"${file.hash}"`;
  const headers = {
    ...pageHeaders,
    etag,
    // A page of another version, still open in a browser, asks with that version's hash.
    "cache-control": request.url.endsWith(`?v=${file.hash}`) ? "public, max-age=31536000, immutable" : "no-cache",
    vary: "accept, accept-encoding",
  };
  if (isKnown(request.headers.get("if-none-match"), etag)) return { status: 304, headers, body: "" };
  const compressed = Buffer.from(file.content, "base64");
  const typed = { ...headers, "content-type": file.type };
  if (!acceptsGzip(request.headers.get("accept-encoding")))
    return { status: 200, headers: typed, body: gunzipSync(compressed) };
  return { status: 200, headers: { ...typed, "content-encoding": "gzip" }, body: compressed };
}

const notFound = jsonResponse(404, { text: "Not found" });

/** Nothing is loaded from elsewhere, no inline code runs, and no text becomes code or markup. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  // Not even the page's own code may turn text into markup or scripts; the map creates its worker through a policy.
  "require-trusted-types-for 'script'",
  "trusted-types layout-worker",
].join("; ");

const pageHeaders = {
  "content-security-policy": contentSecurityPolicy,
  "cross-origin-opener-policy": "same-origin",
} as const;

/** Weak comparison (RFC 9110, section 13.1.2). */
function isKnown(ifNoneMatch: string | null, etag: string): boolean {
  const bare = (text: string): string => text.trim().replace(/^W\//, "");
  return ifNoneMatch !== null && ifNoneMatch.split(",").some((one) => bare(one) === bare(etag) || bare(one) === "*");
}

function acceptsGzip(acceptEncoding: string | null): boolean {
  return /(?:^|[\s,])(?:x-)?gzip(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))(?=\s*(?:[,;]|$))/i.test(acceptEncoding ?? "");
}
