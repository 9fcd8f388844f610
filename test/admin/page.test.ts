/** How the live page's files are served: compressed, cached, and with a policy that allows nothing else to run. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import { pageFiles } from "../../src/admin/page/files.ts";
import { adminWith } from "../support/admin.ts";
import { head, sendRaw } from "../support/raw-http.ts";

let admin: Admin;
let base: string;
beforeEach(async () => {
  admin = createAdmin({ listen: "127.0.0.1:0", token: "admin-token" }, adminWith());
  await admin.start();
  base = `http://127.0.0.1:${admin.port}`;
});
afterEach(() => admin.stop(0));

const originals = new Map(pageFiles.map(({ path, content }) => [path, gunzipSync(Buffer.from(content, "base64"))]));

/** The addresses in the HTML. */
const linked = [...String(originals.get("/")).matchAll(/"(\/page\/[^"]+)"/g)].map(([, address]) => address as string);

async function raw(path: string, headers: Record<string, string>, method = "GET") {
  return sendRaw(admin.port, [head(method, path, { connection: "close", ...headers })], { until: "closed" });
}

test("every file is served without a token, plain or compressed as the client asks", async () => {
  expect(linked).toHaveLength(3);
  for (const { path, type } of pageFiles) {
    for (const encoding of ["gzip", "gzip;q=0, br", "x-gzip;q=0.5", "identity", "*;q=0"]) {
      const answer = await fetch(base + path, { headers: { "accept-encoding": encoding } });
      expect([answer.status, answer.headers.get("content-type")]).toEqual([200, type]);
      expect(Buffer.from(await answer.arrayBuffer()).equals(originals.get(path) as Buffer)).toBe(true);
    }
  }
  const compressed = await raw("/page/main.js", { "accept-encoding": "gzip, deflate, br" });
  expect(compressed.headers["content-encoding"]).toBe("gzip");
  expect(Number(compressed.headers["content-length"])).toBeLessThan((originals.get("/page/main.js") as Buffer).length);
  const plain = await raw("/page/main.js", {});
  expect(plain.headers["content-encoding"]).toBeUndefined();
  expect(Number(plain.headers["content-length"])).toBe((originals.get("/page/main.js") as Buffer).length);
});

test("files named by the HTML are cached forever; the HTML, and files requested with another version, are not", async () => {
  const cacheOf = async (path: string) => (await fetch(base + path)).headers.get("cache-control");
  for (const address of linked) expect(await cacheOf(address)).toBe("public, max-age=31536000, immutable");
  expect(await cacheOf("/")).toBe("no-cache");
  expect(await cacheOf("/page/main.js?v=000000000000")).toBe("no-cache");
  expect(await cacheOf("/page/main.js")).toBe("no-cache");
});

test("answers 304 to a browser that has the file", async () => {
  const etag = (await fetch(base)).headers.get("etag") ?? "";
  const answerTo = async (ifNoneMatch: string) => {
    const answer = await fetch(base, { headers: { "if-none-match": ifNoneMatch } });
    return [answer.status, (await answer.text()).length > 0, answer.headers.get("etag")];
  };
  expect(await answerTo(etag)).toEqual([304, false, etag]);
  expect(await answerTo(`"other", ${etag.replace("W/", "")}`)).toEqual([304, false, etag]);
  expect(await answerTo("*")).toEqual([304, false, etag]);
  expect(await answerTo('W/"other"')).toEqual([200, true, etag]);
});

test("answers HEAD like GET, without the body", async () => {
  const { status, headers, body } = await raw("/page/main.js", { "accept-encoding": "gzip" }, "HEAD");
  expect([status, body, headers["content-type"]]).toEqual([200, "", "text/javascript; charset=utf-8"]);
});

test("answers 404 to a program that asks for JSON, as for any unknown path", async () => {
  const asked = await fetch(base, { headers: { accept: "application/json" } });
  expect([asked.status, await asked.json()]).toEqual([404, { text: "Not found" }]);
  expect((await fetch(`${base}/page/other.js`)).status).toBe(404);
  expect((await fetch(`${base}/page/`)).status).toBe(404);
  expect((await fetch(base, { method: "POST" })).status).toBe(405);
});

test("the files of the page total less than 120 kB", () => {
  const bytes = pageFiles.map(({ content }) => Buffer.from(content, "base64").length);
  expect(bytes.length).toBe(5);
  expect(bytes.reduce((sum, one) => sum + one, 0)).toBeLessThan(120_000);
});

describe("every answer", () => {
  const paths = ["/", "/page/main.js", "/healthz", "/api/v1/status", "/api/v1/session", "/none"];

  test.each(paths)("for %s forbids framing, sniffing and loading by other sites", async (path) => {
    const { headers } = await fetch(base + path);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
    expect(headers.get("content-security-policy")).toMatch(/^default-src 'none';.* frame-ancestors 'none'/);
    expect(headers.get("access-control-allow-origin")).toBeNull();
  });

  test("with data forbids caching", async () => {
    expect((await fetch(`${base}/api/v1/session`)).headers.get("cache-control")).toBe("no-store");
  });

  test("of the page allows only its own scripts, and none inline", async () => {
    const { headers } = await fetch(base);
    const policy = headers.get("content-security-policy") ?? "";
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(policy).toContain("script-src 'self';");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(String(originals.get("/"))).not.toMatch(/<script(?![^>]*\ssrc=)|\son\w+=|style=|<style/);
  });
});
