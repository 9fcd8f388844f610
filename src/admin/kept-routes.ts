/** Quarantine and replay over HTTP: whoever may ask can look; only a program, or a page of this listener, can change anything. */
import type { Guard } from "./access.ts";
import { Refusal, Unavailable } from "../errors.ts";
import { type BodyLimits, type Exchange, type HttpAnswer, jsonResponse } from "../http/exchange.ts";
import { createLimiter } from "../http/limiter.ts";
import type { Handler, Route } from "../http/router.ts";
import type { Logger } from "../lib/logger.ts";
import { cancelOf, itemIdOf, purgeOf, queryOf, rangeOf, selectionOf } from "./kept-requests.ts";
import { NotPossible } from "./kept-types.ts";
import type { Kept } from "./kept.ts";

const maxBodyBytes = 64 * 1024;
const bodyMs = 10_000;

type Ask = (parameters: URLSearchParams) => Promise<unknown>;
type Change = (body: unknown) => Promise<unknown>;

export function keptRoutes(kept: Kept, guarded: Guard, logger: Logger): readonly Route[] {
  const limiter = createLimiter({ maxReading: 16, maxBytes: 16 * maxBodyBytes, maxWorking: 16 });

  const answered = (answer: (exchange: Exchange) => Promise<unknown>): Handler =>
    guarded(async (exchange) => {
      try {
        return jsonResponse(200, JSON.stringify(await answer(exchange)));
      } catch (error) {
        return answerTo(error, logger);
      }
    });

  const asking = (path: string, ask: Ask): Route => ({
    path,
    methods: { GET: answered(async ({ request }) => ask(parametersOf(request.url))) },
  });

  const changing = (path: string, change: Change): Route => ({
    path,
    methods: {
      POST: answered(async (exchange) => {
        const admission = limiter.enter(exchange.peer);
        try {
          return await change(await readJson(exchange, admission));
        } finally {
          admission.leave();
        }
      }),
    },
  });

  return [
    asking("/api/quarantine", (parameters) => kept.list(queryOf(parameters))),
    asking("/api/quarantine/item", (parameters) => kept.show(itemIdOf(parameters))),
    changing("/api/quarantine/retry", (body) => kept.retry(selectionOf(body))),
    changing("/api/quarantine/purge", (body) => kept.purge(...purgeOf(body))),
    asking("/api/replay", () => kept.redeliveries()),
    changing("/api/replay", (body) => kept.replay(rangeOf(body))),
    changing("/api/replay/cancel", (body) => kept.cancel(cancelOf(body))),
  ];
}

/** The content type is required because no form of a web page can send it. */
async function readJson(exchange: Exchange, admission: BodyLimits["admission"]): Promise<unknown> {
  if (!/^application\/json\b/i.test(exchange.request.headers.get("content-type") ?? ""))
    throw new Refusal("unsupported_encoding", "The body must be application/json");
  const tooLarge = `The body is larger than ${maxBodyBytes} bytes`;
  const { chunks } = await exchange.readBody({ maxBytes: maxBodyBytes, tooLarge, timeoutMs: bodyMs, admission });
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new Refusal("unparsable", "The body is not JSON");
  }
}

/** If `Host` is no host name, the runtime gives the path alone. */
function parametersOf(url: string): URLSearchParams {
  const query = url.indexOf("?");
  return new URLSearchParams(query < 0 ? "" : url.slice(query + 1));
}

const statusOf: Partial<Record<Refusal["reason"], number>> = {
  overloaded: 503,
  timeout: 408,
  too_large: 413,
  unsupported_encoding: 415,
};

function answerTo(error: unknown, logger: Logger): HttpAnswer {
  if (error instanceof NotPossible) return jsonResponse(409, { text: error.message });
  if (error instanceof Refusal) return jsonResponse(statusOf[error.reason] ?? 400, { text: error.message });
  if (error instanceof Unavailable) return jsonResponse(503, { text: error.message });
  const reason = error instanceof Error ? error.message : String(error);
  logger.error("a request to the admin listener failed", { reason });
  return jsonResponse(500, { text: `the request failed: ${reason}` });
}
