/** The routes of the admin listener that show a tailnet and act on it, selected by `?tailnet=`. */
import { Unavailable } from "../errors.ts";
import { type Exchange, type HttpAnswer, jsonResponse } from "../http/exchange.ts";
import type { Handler, Route } from "../http/router.ts";
import type { Awaitable } from "../journal/index.ts";
import { timeText } from "../lib/rfc3339.ts";
import type { EventFeed, EventPage } from "./events/index.ts";
import type { Live } from "./live.ts";
import { NotPossible, type Operations } from "./operations.ts";
import type { Overview } from "./overview.ts";
import {
  cancelOf,
  eventIdOf,
  eventQueryOf,
  itemIdOf,
  mapQueryOf,
  parametersOf,
  purgeOf,
  queryOf,
  rangeOf,
  selectionOf,
  seriesQueryOf,
} from "./requests.ts";
import type { Health } from "./status.ts";
import type { Traffic, TrafficFeed, TrafficMap } from "./traffic/index.ts";
import { degradedReasons, troublesOf } from "./troubles.ts";

/** A tailnet as the answering instance knows it. */
export interface AdminTailnet {
  /** Empty if there is only one tailnet. */
  readonly name: string;
  readonly health: () => Health;
  /** What `/api/v1/status` shows in addition to `health`, as plain data. */
  readonly status: () => Awaitable<object>;
  /** Absent while another instance leads. */
  readonly leading: Views | undefined;
  /** Which instance to ask instead, as a sentence. */
  readonly leader: () => Awaitable<string>;
}

/** What only the leading instance can show and do. */
export interface Views {
  readonly overview: () => Overview;
  readonly events: Pick<EventFeed, "read" | "whole">;
  readonly traffic: Pick<TrafficFeed, "series" | "map" | "recent">;
  readonly live: Pick<Live, "answer" | "end" | "close">;
  readonly operations: Operations;
}

/** A request names a tailnet that is not served. */
export class UnknownTailnet extends Error {}

export interface RouteDeps {
  /** Unauthorized requests are refused, and errors become answers. */
  readonly guarded: (answer: Handler) => Handler;
  readonly withBody: (answer: (body: unknown, exchange: Exchange) => HttpAnswer | Promise<HttpAnswer>) => Handler;
}

export function tailnetRoutes(
  tailnets: readonly [AdminTailnet, ...AdminTailnet[]],
  { guarded, withBody }: RouteDeps,
): readonly Route[] {
  /** The tailnet of a request, and its other parameters. @throws {UnknownTailnet} */
  function askedOf({ request }: Exchange): { readonly tailnet: AdminTailnet; readonly asked: URLSearchParams } {
    const asked = parametersOf(request.url);
    const wanted = asked.get("tailnet");
    asked.delete("tailnet");
    const tailnet = wanted === null ? tailnets[0] : tailnets.find(({ name }) => name === wanted);
    if (tailnet !== undefined) return { tailnet, asked };
    const names = tailnets.map(({ name }) => name).join(", ");
    const known = names === "" ? "there is one, without a name" : `there are: ${names}`;
    throw new UnknownTailnet(`there is no tailnet ${JSON.stringify(wanted)}; ${known}`);
  }

  /** @throws {Unavailable} that names the leader if another instance leads. */
  async function viewsOf({ leading, leader }: AdminTailnet): Promise<Views> {
    if (leading === undefined) throw new Unavailable(await leader());
    return leading;
  }

  /** A string is JSON already. */
  const get = (
    path: string,
    answer: (tailnet: AdminTailnet, asked: URLSearchParams) => Awaitable<object | string>,
  ) => ({
    path,
    methods: {
      GET: guarded(async (exchange) => {
        const { tailnet, asked } = askedOf(exchange);
        return jsonResponse(200, await answer(tailnet, asked));
      }),
    },
  });
  const view = (path: string, answer: (views: Views, asked: URLSearchParams) => Awaitable<object | string>): Route =>
    get(path, async (tailnet, asked) => answer(await viewsOf(tailnet), asked));
  const act = (path: string, answer: (operations: Operations, body: unknown) => Promise<object>): Route => ({
    path,
    methods: {
      POST: guarded(
        withBody(async (body, exchange) => {
          const { operations } = await viewsOf(askedOf(exchange).tailnet);
          return jsonResponse(200, await answer(operations, body));
        }),
      ),
    },
  });

  return [
    {
      path: "/api/v1/live",
      methods: {
        GET: guarded(async (exchange) => (await viewsOf(askedOf(exchange).tailnet)).live.answer(exchange)),
      },
    },
    get("/api/v1/status", async ({ name, health: read, status }) => {
      const health = read();
      const several = tailnets.length === 1 ? {} : { name, tailnets: tailnets.map((one) => one.name) };
      return {
        ...(await status()),
        ...withWrittenTimes(health),
        degraded: degradedReasons(health),
        troubles: troublesOf(health),
        ...several,
      };
    }),
    view("/api/v1/overview", ({ overview }) => overview()),
    view("/api/v1/events", async ({ events }, asked) => sharedText(await events.read(eventQueryOf(asked)))),
    view("/api/v1/events/item", async ({ events }, parameters) => {
      const event = await events.whole(eventIdOf(parameters));
      if (event === undefined) throw new NotPossible("the event has left the journal");
      return event;
    }),
    view("/api/v1/traffic", async ({ traffic }, asked) => sharedText(await traffic.series(seriesQueryOf(asked)))),
    view("/api/v1/traffic/recent", ({ traffic }) => traffic.recent()),
    view("/api/v1/map", async ({ traffic }, asked) => sharedText(await traffic.map(mapQueryOf(asked)))),
    view("/api/v1/quarantine", ({ operations }, parameters) => operations.list(queryOf(parameters))),
    view("/api/v1/quarantine/item", ({ operations }, parameters) => operations.show(itemIdOf(parameters))),
    act("/api/v1/quarantine/retry", (operations, body) => operations.retry(selectionOf(body))),
    act("/api/v1/quarantine/purge", (operations, body) => operations.purge(...purgeOf(body))),
    view("/api/v1/replay", ({ operations }) => operations.redeliveries()),
    act("/api/v1/replay", (operations, body) => operations.replay(rangeOf(body))),
    act("/api/v1/replay/cancel", (operations, body) => operations.cancel(...cancelOf(body))),
  ];
}

const texts = new WeakMap<object, string>();

/** An answer as JSON, serialized once for all who share it. */
function sharedText(answer: Traffic | TrafficMap | EventPage): string {
  let text = texts.get(answer);
  if (text === undefined) texts.set(answer, (text = JSON.stringify(answer)));
  return text;
}

/** Times as RFC 3339 instead of epoch milliseconds. */
function withWrittenTimes(health: Health): Health {
  const written = ({ since, ...state }: Health["export"]["logs"]) =>
    since === undefined ? state : { ...state, since: typeof since === "number" ? timeText(since) : since };
  const both = ({ logs, metrics }: Health["export"]) => ({ logs: written(logs), metrics: written(metrics) });
  const destinations = health.destinations?.map(({ export: of, ...one }) => ({
    ...one,
    ...(of && { export: both(of) }),
  }));
  return { ...health, export: both(health.export), ...(destinations && { destinations }) };
}
