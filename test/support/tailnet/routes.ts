/** The routes of the stand-in: the scopes each path and method needs, and its handler. */
import type { LogName } from "../../../src/tailscale/index.ts";
import type { Access } from "./access.ts";
import { type ApiAnswer, ApiRefusal, type ApiRequest, noBody, onlyQuery } from "./answer.ts";
import { devicesAnswer, type TailnetDevice } from "./devices.ts";
import type { Records } from "./records.ts";
import type { Streams } from "./streams.ts";
import type { Webhooks } from "./webhooks.ts";

/** Features that a plan or a setting may lack. */
export type Feature = "flow logs" | "log streaming";

export interface RouteParts {
  readonly tailnet: string;
  readonly access: Access;
  readonly records: Records;
  readonly streams: Streams;
  readonly webhooks: Webhooks;
  readonly devices: () => readonly TailnetDevice[];
  readonly lacks: (feature: Feature) => boolean;
}

interface Call {
  readonly scopes: readonly string[];
  readonly feature?: Feature;
  readonly answer: (request: ApiRequest) => ApiAnswer;
}

type Calls = Readonly<Record<string, Call>>;

/** @returns the handler of a request; it throws `ApiRefusal`. */
export function createRoutes(parts: RouteParts): (request: ApiRequest) => ApiAnswer {
  return (request) => {
    if (request.parts.join("/") === "oauth/token") {
      const { answer } = callOf({ POST: { scopes: [], answer: parts.access.token } }, request.method);
      return answer(request);
    }
    const { scopes, feature, answer } = callOf(callsAt(request.parts, parts), request.method);
    parts.access.demand(request, scopes);
    if (feature !== undefined && parts.lacks(feature)) {
      throw new ApiRefusal(403, `${feature} are not enabled for this tailnet; check its settings and its plan`);
    }
    return answer(request);
  };
}

function callOf(calls: Calls | undefined, method: string): Call {
  if (calls === undefined) throw new ApiRefusal(404, "404 page not found");
  const call = calls[method];
  if (call === undefined) throw new ApiRefusal(405, "method not allowed", { allow: Object.keys(calls).join(", ") });
  return call;
}

function callsAt(path: readonly string[], parts: RouteParts): Calls | undefined {
  const [first, second, ...rest] = path;
  if (first === "webhooks" && second !== undefined) return webhookCalls(second, rest.join("/"), parts.webhooks);
  if (first !== "tailnet") return undefined;
  if (second !== "-" && second !== parts.tailnet) throw new ApiRefusal(404, "tailnet not found");
  const [area, log] = rest;
  const name = rest.join("/");
  if (name === "devices") {
    return { GET: reading("devices:core:read", (request) => devicesAnswer(parts.devices(), request)) };
  }
  if (name === "webhooks") {
    return {
      GET: reading("webhooks:read", plain(parts.webhooks.list)),
      POST: { scopes: ["webhooks"], answer: parts.webhooks.create },
    };
  }
  if (area !== "logging" || (log !== "network" && log !== "configuration")) return undefined;
  return logCalls(log, rest.slice(2).join("/"), parts);
}

function logCalls(log: LogName, rest: string, { records, streams, access }: RouteParts): Calls | undefined {
  switch (rest) {
    case "": {
      const call = reading(`logs:${log}:read`, (request) => records.read(log, request));
      return { GET: log === "network" ? { ...call, feature: "flow logs" } : call };
    }
    case "stream":
      return {
        GET: streaming(
          reading(
            "log_streaming:read",
            plain(() => streams.get(log)),
          ),
        ),
        PUT: streaming({
          scopes: ["log_streaming"],
          answer: (request) =>
            streams.put(log, request, () => access.demand(request, ["device_invites", "policy_file"])),
        }),
        DELETE: streaming({ scopes: ["log_streaming"], answer: plain(() => streams.remove(log)) }),
      };
    case "stream/status":
      return {
        GET: streaming(
          reading(
            "log_streaming:read",
            plain(() => streams.status(log)),
          ),
        ),
      };
    default:
      return undefined;
  }
}

function webhookCalls(id: string, action: string, webhooks: Webhooks): Calls | undefined {
  const writing = (of: "" | "test" | "rotate"): Call => ({
    scopes: ["webhooks"],
    answer: (request) => webhooks.one(id, of, request),
  });
  switch (action) {
    case "":
      return {
        GET: reading("webhooks:read", (request) => webhooks.one(id, "", request)),
        PATCH: writing(""),
        DELETE: writing(""),
      };
    case "test":
    case "rotate":
      return { POST: writing(action) };
    default:
      return undefined;
  }
}

function reading(scope: string, answer: Call["answer"]): Call {
  return {
    scopes: [scope],
    answer(request) {
      noBody(request);
      return answer(request);
    },
  };
}

function streaming(call: Call): Call {
  return { ...call, feature: "log streaming" };
}

/** A call without body or query. */
function plain(answer: () => ApiAnswer): Call["answer"] {
  return (request) => {
    noBody(request);
    onlyQuery(request, []);
    return answer();
  };
}
