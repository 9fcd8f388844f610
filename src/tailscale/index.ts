/** The client of Tailscale's API: the calls of the program, each with its scope, its bounds and an error that says what to do. */
import type { Static, TSchema } from "@sinclair/typebox";
import {
  checkedAnswer,
  DevicesAnswer,
  LogStreamAnswer,
  LogStreamStatusAnswer,
  logStreamOf,
  logStreamStatusOf,
  WebhookAnswer,
  WebhooksAnswer,
  WebhookSecretAnswer,
  webhookOf,
  webhookWithSecretOf,
} from "./answers.ts";
import type { Exchange } from "./attempt.ts";
import { readText } from "./body.ts";
import { type Call, callsOf } from "./calls.ts";
import { createCredentials, type TailscaleAuth } from "./credentials.ts";
import { directoryDevices } from "./devices.ts";
import { TailscaleError } from "./error.ts";
import { readLogAnswer } from "./log-answer.ts";
import { createRequester, type HttpOptions, type RequestDeps } from "./request.ts";
import type { LogWindow, TailscaleApi } from "./types.ts";

export type { TailscaleAuth } from "./credentials.ts";
export type { HttpOptions, RequestDeps } from "./request.ts";

export interface TailscaleOptions {
  readonly baseUrl: string;
  /** `-`: the one that the credentials belong to. */
  readonly tailnet: string;
  readonly auth: TailscaleAuth;
  readonly http: HttpOptions;
}

/** A tailnet of 20,000 devices answers with some 20 MB. */
const maxDevicesBytes = 64 * 1024 * 1024;

const maxAnswerBytes = 1024 * 1024;

/** Makes the client. Nothing is sent before the first call. */
export function createTailscaleApi(options: TailscaleOptions, deps: RequestDeps): TailscaleApi {
  const calls = callsOf(options.tailnet);
  const requester = createRequester({ baseUrl: options.baseUrl, auth: options.auth.kind, http: options.http }, deps);
  const credentials = createCredentials(options.auth, { requester, call: calls.token, clock: deps.clock });

  const perform = <Result>(exchange: Omit<Exchange<Result>, "authorization">): Promise<Result> =>
    requester.perform({ ...exchange, authorization: credentials });

  const ask = <Schema extends TSchema>(call: Call, schema: Schema, sent?: unknown): Promise<Static<Schema>> =>
    perform({
      call,
      ...(sent === undefined ? {} : jsonBody(sent)),
      read: async (response) =>
        checkedAnswer(schema, await readText(response, call.endpoint === "devices" ? maxDevicesBytes : maxAnswerBytes)),
    });

  const tell = (call: Call, sent: Pick<Exchange<void>, "body" | "secrets" | "mayRepeat"> = {}): Promise<void> =>
    perform({
      call,
      ...sent,
      read: async (response) => void (await readText(response, maxAnswerBytes)),
    });

  /** Of a removal whose answer was lost, the next attempt finds nothing: that is a success. */
  async function remove(call: Call): Promise<void> {
    let isRepeated = false;
    const mayRepeat = (): boolean => (isRepeated = true);
    try {
      await tell(call, { mayRepeat });
    } catch (error) {
      if (!isRepeated || !isMissing(error)) throw error;
    }
  }

  return {
    get clockAheadMs() {
      return requester.clockAheadMs;
    },
    readLogs(log, window, { maxBytes, onRecords, signal }) {
      let hasGiven = false;
      return perform({
        call: calls.logs(log),
        query: queryOf(window),
        ...(signal === undefined ? {} : { signal }),
        // Records that were given on cannot be taken back, and a window that is too long stays too long.
        mayRepeat: ({ reason }) => !hasGiven && reason !== "timeout",
        read: (response, deadline) =>
          readLogAnswer(response.body ?? noBytes(), {
            maxBytes,
            async onRecords(texts) {
              hasGiven = true;
              deadline.pause();
              await onRecords(texts);
              deadline.resume();
            },
          }),
      });
    },
    async devices() {
      const { devices } = await ask(calls.devices, DevicesAnswer);
      return directoryDevices(devices ?? []);
    },
    async logStream(log) {
      try {
        return logStreamOf(await ask(calls.logStream("GET", log), LogStreamAnswer));
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    putLogStream(log, { url, user, token, compressionFormat }) {
      const sent = { destinationType: "splunk", url, user, token, compressionFormat };
      return tell(calls.logStream("PUT", log), { ...jsonBody(sent), secrets: [token] });
    },
    deleteLogStream: (log) => remove(calls.logStream("DELETE", log)),
    async logStreamStatus(log) {
      return logStreamStatusOf(await ask(calls.logStreamStatus(log), LogStreamStatusAnswer));
    },
    async webhooks() {
      const { webhooks } = await ask(calls.webhooks, WebhooksAnswer);
      return (webhooks ?? []).map(webhookOf);
    },
    async createWebhook({ url, subscriptions }) {
      const sent = { endpointUrl: url, providerType: "", subscriptions };
      return webhookWithSecretOf(await ask(calls.createWebhook, WebhookSecretAnswer, sent));
    },
    async updateWebhook(id, subscriptions) {
      return webhookOf(await ask(calls.updateWebhook(id), WebhookAnswer, { subscriptions }));
    },
    deleteWebhook: (id) => remove(calls.deleteWebhook(id)),
    testWebhook: (id) => tell(calls.testWebhook(id)),
    async rotateWebhook(id) {
      return webhookWithSecretOf(await ask(calls.rotateWebhook(id), WebhookSecretAnswer));
    },
    async authenticate() {
      if (options.auth.kind === "oauth") return credentials.renew();
      try {
        await ask(calls.webhooks, WebhooksAnswer);
      } catch (error) {
        // Whoever is told what a key may not do has been recognised.
        if (!(error instanceof TailscaleError) || error.status !== 403) throw error;
      }
    },
  };
}

function jsonBody(value: unknown): { readonly body: { readonly type: string; readonly text: string } } {
  return { body: { type: "application/json", text: JSON.stringify(value) } };
}

function queryOf({ start, end }: LogWindow): Readonly<Record<string, string>> {
  return { start: timeText(start), end: timeText(end) };
}

/** RFC 3339 of whole seconds, as the official client writes it. */
function timeText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

/** A tailnet that is not there is something else than a stream that is not. */
function isMissing(error: unknown): boolean {
  return error instanceof TailscaleError && error.reason === "not_found" && !/tailnet not found/i.test(error.message);
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}
