import { expect, test } from "bun:test";
import { type HecAnswer, hecAnswers } from "../../../src/receivers/hec/protocol.ts";
import { hecPage } from "../../../scripts/receivers-reference.ts";

test("the reference page lists every answer in the table", () => {
  const page = hecPage();
  for (const { when, status, code } of Object.values(hecAnswers)) {
    const row = page.split("\n").find((line) => line.startsWith(`| ${when} | ${status} |`));
    expect(row).toContain(code === undefined ? '"text"' : `"code":${code}`);
  }
});

test("the table matches the protocol: status, code, reason, headers and text of each answer", () => {
  const rows = Object.values(hecAnswers).map(({ status, code, rejected, headers, text }: HecAnswer) => {
    const lines = Object.entries(headers ?? {}).map(([name, value]) => `${name}: ${value}`);
    return [status, code ?? "–", rejected ?? "–", lines.join(", ") || "–", text].join(" | ");
  });
  expect(rows).toEqual([
    "200 | 0 | – | – | Success",
    "401 | 2 | auth | – | Token is required",
    "401 | 3 | auth | – | Invalid authorization",
    "403 | 4 | auth | – | Invalid token",
    "403 | 4 | cross_site | – | Requests from browsers are refused while streaming.token is empty",
    "400 | 5 | unparsable | – | No data",
    "400 | 6 | unparsable | – | Invalid data format",
    "413 | 6 | too_large | – | Too large",
    "413 | 6 | too_large | – | Too large",
    "415 | 6 | unparsable | – | Unsupported Content-Encoding: use gzip, zstd or none",
    "408 | 6 | timeout | connection: close | The body did not arrive in time",
    "503 | 9 | overloaded | retry-after: 1 | Server is busy",
    "503 | 9 | unavailable | retry-after: 5 | Server is busy",
    "503 | 9 | unavailable | retry-after: 5 | Server is busy",
    "503 | 23 | unavailable | retry-after: 5 | Server is shutting down",
    "500 | 8 | unavailable | – | Internal server error",
    "200 | 17 | – | – | HEC is healthy",
    "503 | 18 | – | – | HEC is unhealthy, queues are full",
    "404 | – | – | – | Not found",
    "405 | – | – | – | Method not allowed",
  ]);
});
