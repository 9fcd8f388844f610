/** The routes of the live page: its HTML, and what that loads. */
import { type Exchange, type HttpAnswer, jsonResponse } from "../../http/exchange.ts";
import type { Route } from "../../http/router.ts";

/** Every file by its path, so that the program knows them before it loads any. */
const paths = ["/", "/page/main.js", "/page/layout.js", "/page/style.css", "/page/icon.svg"];

export const pageRoutes: readonly Route[] = paths.map((path) => ({ path, methods: { GET: answerWithFile } }));

async function answerWithFile({ path }: Pick<Exchange, "path">): Promise<HttpAnswer> {
  const { pageFiles } = await import("./files.ts");
  const file = pageFiles.find((one) => one.path === path);
  if (file === undefined) return jsonResponse(404, { text: "Not found" });
  const headers = { "content-type": file.type, "content-encoding": "gzip" };
  return { status: 200, headers, body: Buffer.from(file.content, "base64") };
}
