/** The client of the admin listener, which queries an instance, validates every response and explains failures. */
import { X509Certificate } from "node:crypto";
import type { TSchema } from "@sinclair/typebox";
import { type InstanceStatus, isFollower } from "../admin/cluster.ts";
import type { EventPage, EventQuery } from "../admin/events/index.ts";
import type { Operations } from "../admin/operations.ts";
import type { Overview } from "../admin/overview.ts";
import { connectionError } from "../lib/system-error.ts";
import { printable } from "../lib/text.ts";
import { isObject } from "../records/members.ts";
import { BadAnswer } from "../tailscale/errors.ts";
import type { AdminAddress } from "./admin-address.ts";
import {
  EventsAnswer,
  FollowerAnswer,
  OverviewAnswer,
  readAnswer,
  RedeliveriesAnswer,
  RedeliveryAnswer,
  StatusAnswer,
  whyMisshapen,
} from "./admin-answers.ts";

/** No instance responds, or it has stopped or is too busy; the message says why. */
export class NoAnswer extends Error {
  constructor(
    message: string,
    readonly remedy = "",
  ) {
    super(message);
  }
}

/** The queries to a running instance. @throws {NoAnswer} if it stops responding or is stopped. */
export interface AdminClient {
  readonly isRunning: true;
  readonly address: string;
  readonly operations: Operations;
  status(): Promise<InstanceStatus>;
  overview(): Promise<Overview>;
  events(query: EventQuery): Promise<EventPage>;
}

interface Question {
  readonly body?: object;
  /** The shape of the response. */
  readonly shape?: TSchema | ((answer: unknown) => TSchema);
}

/** For the first response, and for later ones, which may involve work. */
const timeoutMs = { first: 10_000, later: 60_000 };

/**
 * Returns the instance at that address, or why there is none. `stop` aborts all its requests; `tailnet` selects one of several.
 * @throws {Error} if another program responds or the token is rejected.
 */
export async function findInstance(
  { url: address, token, isRecorded, certificates }: AdminAddress,
  stop?: AbortSignal,
  tailnet?: string,
): Promise<AdminClient | NoAnswer> {
  const authorization = token === "" ? {} : { authorization: `Bearer ${token}` };
  let timeout = timeoutMs.first;

  async function ask<Answer>(path: string, { body, shape }: Question = {}): Promise<Answer> {
    const isFirst = timeout === timeoutMs.first;
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), ...(stop === undefined ? [] : [stop])]);
    const response = await fetch(address + ofTailnet(path, tailnet), {
      method: body === undefined ? "GET" : "POST",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { ...authorization, "content-type": "application/json" },
      redirect: "manual",
      signal,
      ...trusting(certificates),
    }).catch((error: unknown) => {
      throw isFirst ? noAnswer(error, address) : lost(error);
    });
    const answer = await readAnswer(response).catch((error: unknown) => {
      if (error instanceof BadAnswer) return undefined;
      // The instance was killed while responding.
      if (!isFirst) throw lost(error);
    });
    const text = isObject(answer) && typeof answer["text"] === "string" ? printable(answer["text"]) : undefined;
    if (response.status === 401 && text !== undefined) throw new Error(`${address} ${tokenProblem(token)}`);
    const wanted = typeof shape === "function" ? shape(answer) : shape;
    const misshapen = wanted === undefined || !response.ok ? undefined : whyMisshapen(wanted, answer);
    if (response.ok && answer !== undefined && misshapen === undefined) return answer as Answer;
    if (response.status === 503 && text !== undefined) throw new NoAnswer(text);
    if (response.status !== 404 && text !== undefined) throw new Error(text);
    const isOurs = isObject(answer) && (!isFirst || Array.isArray(answer["notReady"]));
    const problem = foreign(address, isOurs ? misshapen : undefined);
    throw isRecorded && isFirst ? new NoAnswer(problem.message) : problem;
  }

  function lost(error: unknown): NoAnswer {
    const why = connectionError(error, new URL(address).host);
    return new NoAnswer(`the instance has stopped answering (${why}). Check it with: tailscale2otel status`);
  }

  const shape = (answer: unknown) => (isObject(answer) && isFollower(answer) ? FollowerAnswer : StatusAnswer);
  const status = (): Promise<InstanceStatus> => ask("/api/v1/status", { shape });

  try {
    await status();
  } catch (error) {
    if (error instanceof NoAnswer) return error;
    throw error;
  }
  timeout = timeoutMs.later;
  return {
    isRunning: true,
    address,
    status,
    overview: () => ask("/api/v1/overview", { shape: OverviewAnswer }),
    events({ waitMs, severity, ...query }) {
      const least = severity === undefined ? {} : { severity: severity.toLowerCase() };
      return ask(`/api/v1/events?${parametersOf({ ...query, ...least, wait: `${waitMs}ms` })}`, {
        shape: EventsAnswer,
      });
    },
    operations: {
      list: (query) => ask(`/api/v1/quarantine?${parametersOf(query)}`),
      show: (id) => ask(`/api/v1/quarantine/item?id=${encodeURIComponent(id)}`),
      retry: (body) => ask("/api/v1/quarantine/retry", { body }),
      purge: (selection, deadLetters) => ask("/api/v1/quarantine/purge", { body: { ...selection, deadLetters } }),
      replay: (body) => ask("/api/v1/replay", { body, shape: RedeliveryAnswer }),
      cancel: (name, destination) => ask("/api/v1/replay/cancel", { body: { name, destination } }),
      redeliveries: () => ask("/api/v1/replay", { shape: RedeliveriesAnswer }),
    },
  };
}

/** For `fetch`: trusts only these certificates, for any host name. If there are none, verifies as usual. */
export function trusting(certificates: readonly string[]): Pick<BunFetchRequestInit, "tls"> {
  if (certificates.length === 0) return {};
  const fingerprints = new Set(certificates.map((one) => new X509Certificate(one).fingerprint256));
  const tls: BunFetchRequestInit["tls"] & { allowPartialTrustChain: true } = {
    ca: [...certificates],
    // The certificate need not be that of an authority.
    allowPartialTrustChain: true,
    checkServerIdentity: (_, { fingerprint256 }) =>
      fingerprints.has(fingerprint256) ? undefined : new Error("another certificate than the instance's"),
  };
  return { tls };
}

function ofTailnet(path: string, tailnet: string | undefined): string {
  return tailnet === undefined ? path : `${path}${path.includes("?") ? "&" : "?"}${parametersOf({ tailnet })}`;
}

/** A query string, with commas in lists. */
function parametersOf(query: object): string {
  return new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString();
}

function noAnswer(error: unknown, address: string): NoAnswer {
  const { host, protocol } = new URL(address);
  const why = connectionError(error, host);
  const started = 'Start the instance, or give the address that it logs as "admin" when it is ready.';
  const remedy = remedies.find(([scheme, pattern]) => scheme === protocol && pattern.test(why))?.[2];
  return new NoAnswer(`no instance answers (${why})`, remedy ?? started);
}

const remedies: readonly (readonly [protocol: string, why: RegExp, remedy: string])[] = [
  [
    "https:",
    /TLS/,
    "Without admin.tls, the admin listener uses http://; with a proxy in front of it, check the proxy's certificate.",
  ],
  [
    "https:",
    /certificate/,
    "Give the name that the certificate is for in --url, or run this where the instance runs, without --url.",
  ],
  ["http:", /without an answer/, "If the instance has admin.tls, use https:// in the address."],
];

function tokenProblem(token: string): string {
  const remedy =
    "Set admin.token (TS2OTEL_ADMIN__TOKEN) to the instance's token, or give the instance's configuration with --config.";
  return token === ""
    ? `requires the admin token, and none is set here. ${remedy}`
    : `rejects the admin token that is set here. ${remedy}`;
}

/** `misshapen`: what is wrong with a JSON response. */
function foreign(address: string, misshapen?: string): Error {
  if (misshapen !== undefined)
    return new Error(
      `${address} answers as no admin listener does (${misshapen}). If an instance runs there, use its version of this program.`,
    );
  const remedy = "Give the address of the admin listener with --url, or set admin.listen.";
  return new Error(`${address} is not an admin listener: another program or a receiver answers there. ${remedy}`);
}
