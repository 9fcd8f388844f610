/** The client of Tailscale's API: the program's calls, each with its scope, its limits, and errors that say what to do. */
import type { Static, TSchema } from "@sinclair/typebox";
import type { Config } from "../config/index.ts";
import {
  type ApiDevice,
  checkedAnswer,
  DevicesAnswer,
  LogStreamAnswer,
  LogStreamStatusAnswer,
  WebhookAnswer,
  WebhooksAnswer,
  WebhookSecretAnswer,
} from "./answers.ts";
import { type Call, callsOf, type LogName } from "./calls.ts";
import { type ClientDeps, createClient, readText, type Request } from "./client.ts";
import { createCredentials } from "./credentials.ts";
import { isMissing, TailscaleError } from "./errors.ts";
import { type LogsAnswer, readLogAnswer, type ReadLogsOptions } from "./log-answer.ts";

export type { ApiDevice } from "./answers.ts";
export type { LogName } from "./calls.ts";
export type { ClientDeps } from "./client.ts";
export { TailscaleError } from "./errors.ts";

/** A span of the log in whole seconds since the epoch, both ends included. The API selects by when it logged a record. */
export interface LogWindow {
  readonly start: number;
  readonly end: number;
}

export type Compression = "none" | "gzip" | "zstd";

/** Where log streaming sends one of the logs. The API never returns the token. */
export interface LogStream {
  readonly destinationType: string;
  readonly url: string;
  readonly user: string;
  readonly compressionFormat: Compression;
}

/** A Splunk HEC endpoint that log streaming is to send to. */
export interface LogStreamTarget extends Omit<LogStream, "destinationType"> {
  readonly token: string;
}

/** Tailscale's own view of a stream: sums since it was configured. What the API omits is zero or empty. */
export interface LogStreamStatus {
  readonly lastActivity: string;
  readonly lastError: string;
  readonly bytesSent: number;
  readonly entriesSent: number;
  readonly requests: number;
  readonly failedRequests: number;
}

export interface WebhookEndpoint {
  readonly id: string;
  readonly url: string;
  readonly providerType: string;
  readonly subscriptions: readonly string[];
  readonly created: string;
  readonly lastModified: string;
}

/** The API returns the secret at creation and rotation only. */
export interface WebhookWithSecret extends WebhookEndpoint {
  readonly secret: string;
}

/** Every method throws `TailscaleError`, and nothing else, if the API does not answer what was asked. */
export interface TailscaleApi {
  /** How far the API's clock is ahead of ours, milliseconds; `undefined` before its first answer. */
  readonly clockAheadMs: number | undefined;
  /** The requests that start from now on use these credentials. */
  useAuth(auth: Config["tailscale"]["auth"]): void;
  /** Gets a new token, or tries the API key. */
  authenticate(signal?: AbortSignal): Promise<void>;
  readLogs(log: LogName, window: LogWindow, options: ReadLogsOptions): Promise<LogsAnswer>;
  devices(): Promise<readonly ApiDevice[]>;
  /** `undefined` if none is configured. */
  logStream(log: LogName): Promise<LogStream | undefined>;
  putLogStream(log: LogName, target: LogStreamTarget): Promise<void>;
  deleteLogStream(log: LogName): Promise<void>;
  logStreamStatus(log: LogName): Promise<LogStreamStatus>;
  webhooks(): Promise<readonly WebhookEndpoint[]>;
  createWebhook(webhook: Pick<WebhookEndpoint, "url" | "subscriptions">): Promise<WebhookWithSecret>;
  updateWebhook(id: string, subscriptions: readonly string[]): Promise<WebhookEndpoint>;
  deleteWebhook(id: string): Promise<void>;
  testWebhook(id: string): Promise<void>;
  rotateWebhook(id: string): Promise<WebhookWithSecret>;
}

/** A tailnet of 20,000 devices answers with about 20 MB. */
const maxDevicesBytes = 64 * 1024 * 1024;

const maxAnswerBytes = 1024 * 1024;

/** Sends nothing before the first call. The settings must have credentials. */
export function createTailscaleApi(settings: Config["tailscale"], deps: ClientDeps): TailscaleApi {
  const calls = callsOf(settings.tailnet);
  const client = createClient(settings, deps);
  const credentialsOf = (auth: typeof settings.auth) =>
    createCredentials(auth, { client, call: calls.token, clock: deps.clock });
  let used = settings.auth;
  let credentials = credentialsOf(used);

  const send = <Result>(request: Omit<Request<Result>, "credentials">): Promise<Result> =>
    client.send({ ...request, credentials });

  const ask = <Schema extends TSchema>(
    call: Call,
    schema: Schema,
    more: Pick<Request<void>, "body" | "signal"> = {},
  ): Promise<Static<Schema>> =>
    send({
      call,
      ...more,
      read: async (response) =>
        checkedAnswer(schema, await readText(response, call.endpoint === "devices" ? maxDevicesBytes : maxAnswerBytes)),
    });

  const tell = (call: Call, more: Pick<Request<void>, "body" | "secrets" | "mayRetry"> = {}): Promise<void> =>
    send({ call, ...more, read: async (response) => void (await readText(response, maxAnswerBytes)) });

  /** If the answer of a deletion is lost, the retry finds nothing: that is a success. */
  async function remove(call: Call): Promise<void> {
    let isRetry = false;
    try {
      await tell(call, { mayRetry: () => (isRetry = true) });
    } catch (error) {
      if (!isRetry || !isMissing(error)) throw error;
    }
  }

  return {
    get clockAheadMs() {
      return client.clockAheadMs;
    },
    useAuth(auth) {
      if (JSON.stringify(auth) === JSON.stringify(used)) return;
      used = auth;
      credentials = credentialsOf(auth);
    },
    async authenticate(signal) {
      if (credentials.kind === "oauth") {
        credentials = credentialsOf(used);
        await credentials.header(signal);
        return;
      }
      try {
        await ask(calls.webhooks, WebhooksAnswer, { ...(signal && { signal }) });
      } catch (error) {
        // A key that may not do this has been recognised all the same.
        if (!(error instanceof TailscaleError) || error.status !== 403) throw error;
      }
    },
    readLogs(log, { start, end }, { maxBytes, onRecords, signal }) {
      let hasHandedOver = false;
      return send({
        call: calls.logs(log),
        query: { start: timeText(start), end: timeText(end) },
        signal,
        // Records cannot be taken back, and a window that takes too long does so again.
        mayRetry: ({ reason }) => !hasHandedOver && reason !== "timeout",
        read: (response, deadline) =>
          readLogAnswer(response.body ?? [], {
            maxBytes,
            async onRecords(records) {
              hasHandedOver = true;
              deadline.pause();
              await onRecords(records);
              deadline.resume();
            },
          }),
      });
    },
    devices: async () => (await ask(calls.devices, DevicesAnswer)).devices ?? [],
    async logStream(log) {
      try {
        const answer = await ask(calls.logStream("GET", log), LogStreamAnswer);
        const { destinationType, url = "", user = "", compressionFormat } = answer;
        return { destinationType, url, user, compressionFormat: compressionFormat || "none" };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    putLogStream: (log, { url, user, token, compressionFormat }) =>
      tell(calls.logStream("PUT", log), {
        body: json({ destinationType: "splunk", url, user, token, compressionFormat }),
        secrets: [token],
      }),
    deleteLogStream: (log) => remove(calls.logStream("DELETE", log)),
    async logStreamStatus(log) {
      const answer = await ask(calls.logStreamStatus(log), LogStreamStatusAnswer);
      return {
        lastActivity: answer.lastActivity ?? "",
        lastError: answer.lastError ?? "",
        bytesSent: answer.numBytesSent ?? 0,
        entriesSent: answer.numEntriesSent ?? 0,
        requests: answer.numTotalRequests ?? 0,
        failedRequests: answer.numFailedRequests ?? 0,
      };
    },
    webhooks: async () => ((await ask(calls.webhooks, WebhooksAnswer)).webhooks ?? []).map(webhookOf),
    async createWebhook({ url, subscriptions }) {
      const body = json({ endpointUrl: url, providerType: "", subscriptions });
      return withSecret(await ask(calls.createWebhook, WebhookSecretAnswer, { body }));
    },
    updateWebhook: async (id, subscriptions) =>
      webhookOf(await ask(calls.updateWebhook(id), WebhookAnswer, { body: json({ subscriptions }) })),
    deleteWebhook: (id) => remove(calls.deleteWebhook(id)),
    testWebhook: (id) => tell(calls.testWebhook(id)),
    rotateWebhook: async (id) => withSecret(await ask(calls.rotateWebhook(id), WebhookSecretAnswer)),
  };
}

function json(value: unknown): NonNullable<Request<void>["body"]> {
  return { type: "application/json", text: JSON.stringify(value) };
}

/** RFC 3339 in whole seconds, as Tailscale's own client writes it. */
function timeText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

function webhookOf(answer: Static<typeof WebhookAnswer>): WebhookEndpoint {
  const { endpointId: id, endpointUrl: url = "", providerType = "", created = "", lastModified = "" } = answer;
  return { id, url, providerType, subscriptions: answer.subscriptions ?? [], created, lastModified };
}

function withSecret(answer: Static<typeof WebhookSecretAnswer>): WebhookWithSecret {
  return { ...webhookOf(answer), secret: answer.secret };
}
