/** The client of Tailscale's API: the program's calls, each with its scope, its limits, and errors that say what to do. */
import { setImmediate as afterOthers } from "node:timers/promises";
import type { Static, TSchema } from "@sinclair/typebox";
import type { Config } from "../config/index.ts";
import {
  ApiDevice,
  checkedAnswer,
  LogStreamAnswer,
  LogStreamStatus,
  WebhookAnswer,
  WebhooksAnswer,
  WebhookSecretAnswer,
} from "./answers.ts";
import { type ClientDeps, createClient, decodeText, readText, type Request } from "./client.ts";
import { createCredentials } from "./credentials.ts";
import { type Call, isMissing, TailscaleError } from "./errors.ts";
import { objectsIn } from "./list-answer.ts";

export type { ApiDevice, LogStreamStatus } from "./answers.ts";
export type { ClientDeps } from "./client.ts";
export { createAttempts, type Failure, TailscaleError, type TailnetTrouble } from "./errors.ts";

/** Methods throw `TailscaleError`, and nothing else, if the API does not answer as expected. */
export type TailscaleApi = ReturnType<typeof createTailscaleApi>;

/** One of the two logs, as the API's paths name it. */
export type LogName = "network" | "configuration";

/** A span of the log in whole seconds since the epoch, both ends included. The API selects by when it logged a record. */
export interface LogWindow {
  readonly start: number;
  readonly end: number;
}

export interface ReadLogsOptions {
  /** Limit of the answer after decompression; beyond it, a `TailscaleError` of reason `too_large`. */
  readonly maxBytes: number;
  /** Receives the records' texts in order. Reading continues when it has resolved; its errors are rethrown unchanged. */
  readonly onRecords: (records: readonly Uint8Array[]) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

export type Compression = "none" | "gzip" | "zstd";

/** Where log streaming sends one of the logs. The API never returns the token. */
export interface LogStream {
  readonly destinationType: string;
  readonly url: string;
  readonly user: string;
  readonly compressionFormat: Compression;
}

/** A Splunk HEC endpoint for log streaming to send to. */
export interface LogStreamTarget extends Omit<LogStream, "destinationType"> {
  readonly token: string;
}

export type WebhookEndpoint = Readonly<ReturnType<typeof webhookOf>>;

/** The API returns the secret only at creation and rotation. */
export type WebhookWithSecret = WebhookEndpoint & { readonly secret: string };

/** The answer for a tailnet of 20,000 devices is about 20 MB. */
const maxDevicesBytes = 64 * 1024 * 1024;

/** Maximum number of members, elements and scalars of a device: the API has fewer than a thousand. */
const maxDeviceParts = 10_000;

/** Devices are parsed for this long before other work runs. */
const stepMs = 5;

/** Parsed as a whole: empty objects of that size take 0.13 s. The API's longest list is that of webhooks, at 400 bytes each. */
const maxAnswerBytes = 256 * 1024;

/** Sends nothing before the first call. The settings must have credentials. */
export function createTailscaleApi(settings: Config["tailscale"], deps: ClientDeps) {
  /** `-` is the tailnet of the credentials. */
  const root = `/api/v2/tailnet/${encodeURIComponent(settings.tailnet)}`;
  const client = createClient(settings, deps);
  const credentialsOf = (auth: typeof settings.auth) => createCredentials(auth, { client, clock: deps.clock });
  let used = settings.auth;
  let credentials = credentialsOf(used);

  const ask = <Schema extends TSchema>(schema: Schema, request: Omit<Request<void>, "read">): Promise<Static<Schema>> =>
    client.send({
      credentials,
      ...request,
      read: async (response) => checkedAnswer(schema, await readText(response, maxAnswerBytes)),
    });

  const tell = (request: Omit<Request<void>, "read">): Promise<void> =>
    client.send({ credentials, ...request, read: async (response) => void (await readText(response, maxAnswerBytes)) });

  const logStream = (method: Call["method"], log: LogName, scope = "log_streaming"): Call => ({
    ...callOf("log_stream", method, `${root}/logging/${log}/stream`, scope),
    enabling: streamingOff,
  });
  const webhooks = (method: Call["method"], scope: string): Call =>
    callOf("webhooks", method, `${root}/webhooks`, scope);
  const webhook = (endpoint: Call["endpoint"], method: Call["method"], id: string, end = ""): Call =>
    callOf(endpoint, method, `/api/v2/webhooks/${encodeURIComponent(id)}${end}`, "webhooks");

  /** If the answer to a deletion is lost, the retry finds nothing, which is a success. */
  async function remove(call: Call): Promise<void> {
    let isRetry = false;
    try {
      await tell({ ...call, mayRetry: () => (isRetry = true) });
    } catch (error) {
      if (!isRetry || !isMissing(error)) throw error;
    }
  }

  return {
    /** How far the API's clock is ahead of the local one, in milliseconds; `undefined` before its first answer. */
    get clockAheadMs(): number | undefined {
      return client.clockAheadMs;
    },
    /** New requests use these credentials from now on. */
    useAuth(auth: Config["tailscale"]["auth"]): void {
      if (JSON.stringify(auth) === JSON.stringify(used)) return;
      used = auth;
      credentials = credentialsOf(auth);
    },
    /** Gets a new token, or tries the API key. */
    async authenticate(signal?: AbortSignal): Promise<void> {
      if (credentials.kind === "oauth") {
        credentials = credentialsOf(used);
        await credentials.header(signal);
        return;
      }
      try {
        await ask(WebhooksAnswer, { ...webhooks("GET", "webhooks:read"), signal });
      } catch (error) {
        // A key that may not do this is valid nevertheless.
        if (!(error instanceof TailscaleError) || error.status !== 403) throw error;
      }
    },
    async readLogs(log: LogName, { start, end }: LogWindow, options: ReadLogsOptions): Promise<void> {
      const { maxBytes, onRecords, signal } = options;
      let hasHandedOver = false;
      let thrown: { readonly cause: unknown } | undefined;
      const read: Request<void>["read"] = async (response, deadline) => {
        const list = { name: "logs", maxBytes, maxParts: Number.POSITIVE_INFINITY } as const;
        for await (const records of objectsIn(response.body ?? [], list)) {
          hasHandedOver = true;
          deadline.stop();
          try {
            await onRecords(records);
          } catch (cause) {
            thrown = { cause };
            throw cause;
          }
          deadline.start();
        }
      };
      const request: Request<void> = {
        ...callOf(`${log}_logs`, "GET", `${root}/logging/${log}`, `logs:${log}:read`),
        ...(log === "network" && { enabling: flowLogsOff }),
        credentials,
        query: { start: timeText(start), end: timeText(end) },
        signal,
        // Records passed on cannot be taken back, and a window that timed out would time out again.
        mayRetry: ({ reason }) => !hasHandedOver && reason !== "timeout",
        read,
      };
      await client.send(request).catch((error: unknown) => {
        throw thrown === undefined ? error : thrown.cause;
      });
    },
    /** The first devices of the tailnet, at most `most`: the rest of the answer is not read. */
    devices(most = Number.POSITIVE_INFINITY): Promise<readonly ApiDevice[]> {
      const call = callOf("devices", "GET", `${root}/devices`, "devices:core:read");
      return client.send({ ...call, credentials, read: (response) => readDevices(response, most) });
    },
    /** `undefined` if none is configured. `to` is the purpose of the read, which decides the scope that an error names. */
    async logStream(log: LogName, to: Purpose = "show"): Promise<LogStream | undefined> {
      try {
        const answer = await ask(LogStreamAnswer, logStream("GET", log, scopeTo[to].logStreams));
        const { destinationType, url = "", user = "", compressionFormat } = answer;
        return { destinationType, url, user, compressionFormat: compressionFormat || "none" };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    async putLogStream(log: LogName, { url, user, token, compressionFormat }: LogStreamTarget): Promise<void> {
      const body = json({ destinationType: "splunk", url, user, token, compressionFormat });
      await tell({ ...logStream("PUT", log), body, secrets: [token] });
    },
    deleteLogStream: (log: LogName): Promise<void> => remove(logStream("DELETE", log)),
    logStreamStatus(log: LogName): Promise<LogStreamStatus> {
      const { path, ...call } = logStream("GET", log, scopeTo.show.logStreams);
      return ask(LogStreamStatus, { ...call, endpoint: "log_stream_status", path: `${path}/status` });
    },
    async webhooks(to: Purpose = "show"): Promise<readonly WebhookEndpoint[]> {
      return ((await ask(WebhooksAnswer, webhooks("GET", scopeTo[to].webhooks))).webhooks ?? []).map(webhookOf);
    },
    async createWebhook({
      url,
      subscriptions,
    }: Pick<WebhookEndpoint, "url" | "subscriptions">): Promise<WebhookWithSecret> {
      const request = {
        ...webhooks("POST", "webhooks"),
        body: json({ endpointUrl: url, providerType: "", subscriptions }),
        // Retries only if the answer says that nothing was done: a second webhook would send everything twice.
        mayRetry: ({ status }: TailscaleError) => status === 429 || status === 503,
      };
      return withSecret(await ask(WebhookSecretAnswer, request));
    },
    async updateWebhook(id: string, subscriptions: readonly string[]): Promise<WebhookEndpoint> {
      const request = { ...webhook("webhook", "PATCH", id), body: json({ subscriptions }) };
      return webhookOf(await ask(WebhookAnswer, request));
    },
    deleteWebhook: (id: string): Promise<void> => remove(webhook("webhook", "DELETE", id)),
    testWebhook: (id: string): Promise<void> => tell(webhook("webhook_test", "POST", id, "/test")),
    /** If the answer to a rotation is lost, nobody knows the new secret; a retry replaces it. */
    async rotateWebhook(id: string): Promise<WebhookWithSecret> {
      return withSecret(await ask(WebhookSecretAnswer, webhook("webhook_rotate", "POST", id, "/rotate")));
    },
  };
}

/** Parses devices one by one: an answer of 60 MB parsed as a whole can block everything for 38 s and take 5 GB. */
async function readDevices({ body }: Response, most: number): Promise<readonly ApiDevice[]> {
  const devices: ApiDevice[] = [];
  let endsAt = performance.now() + stepMs;
  const list = { name: "devices", maxBytes: maxDevicesBytes, maxParts: maxDeviceParts } as const;
  for await (const objects of objectsIn(body ?? [], list))
    for (const object of objects) {
      devices.push(checkedAnswer(ApiDevice, decodeText(object), `/devices/${devices.length}`));
      if (devices.length >= most) return devices;
      if (performance.now() < endsAt) continue;
      await afterOthers();
      endsAt = performance.now() + stepMs;
    }
  return devices;
}

/** The purpose of a read: only to show something, or also to set it. */
type Purpose = "show" | "set";

/** A scope includes its `:read` form, so one scope is enough to set something. */
const scopeTo = {
  show: { logStreams: "log_streaming:read", webhooks: "webhooks:read" },
  set: { logStreams: "log_streaming", webhooks: "webhooks" },
} as const satisfies Record<Purpose, object>;

const flowLogsOff =
  "Enable network flow logs in the admin console under Logs; the tailnet's plan must include them. Or set collectors.flowlogs.enabled = false.";
const streamingOff = "Log streaming must be part of the tailnet's plan, and the log itself must be enabled.";

function callOf(endpoint: Call["endpoint"], method: Call["method"], path: string, scope?: string): Call {
  return { endpoint, method, path, ...(scope !== undefined && { scope }) };
}

function json(value: unknown): NonNullable<Request<void>["body"]> {
  return { type: "application/json", text: JSON.stringify(value) };
}

/** RFC 3339 in whole seconds, as Tailscale's own client writes it. */
function timeText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

function webhookOf(answer: Static<typeof WebhookAnswer>) {
  const { endpointId: id, endpointUrl: url = "", providerType = "", created = "", lastModified = "" } = answer;
  const subscriptions: readonly string[] = answer.subscriptions ?? [];
  return { id, url, providerType, subscriptions, created, lastModified };
}

function withSecret(answer: Static<typeof WebhookSecretAnswer>): WebhookWithSecret {
  return { ...webhookOf(answer), secret: answer.secret };
}
