/** The routes of the live page: its HTML, and what that loads. */
import type { Exchange, HttpAnswer } from "../../http/exchange.ts";
import { jsonResponse } from "../../http/exchange.ts";
import type { BundledFile } from "./bundle.ts";

/** Answers a request for a file of the page. */
export async function answerWithPage({ path }: Pick<Exchange, "path">): Promise<HttpAnswer> {
  const { pageFiles } = await import("./files.ts");
  const file = pageFiles.find((one: BundledFile) => one.path === path);
  if (file === undefined) return jsonResponse(404, { text: "Not found" });
  const headers = { "content-type": file.type, "content-encoding": "gzip" };
  return { status: 200, headers, body: Buffer.from(file.content, "base64") };
}
