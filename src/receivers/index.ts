/** The receivers that the settings ask for, on as few listeners as they can share. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import { tlsFilesOf } from "../http/tls.ts";
import type { Route } from "../http/router.ts";
import { createHttpServer, type HttpServer, type MisdirectedReason } from "../http/server.ts";
import type { Journal } from "../journal/index.ts";
import { urlOfListen } from "../lib/listen.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Pipeline } from "../pipeline/index.ts";
import { createHecReceiver } from "./hec/index.ts";
import { createWebhookReceiver } from "./webhook/index.ts";

export interface ReceiversDeps {
  readonly pipeline: Pipeline;
  readonly journal: Pick<Journal, "space" | "horizon">;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Told the secret that a webhook delivery was signed with. */
  readonly webhookSignedBy?: (secret: string) => void;
}

/** Base addresses by which this machine reaches the receivers that run. */
export interface ReceiverAddresses {
  readonly stream?: string;
  readonly webhook?: string;
}

export interface Receivers {
  /** Only after `start`. */
  readonly addresses: ReceiverAddresses;
  /** @throws {Error} with one line for the operator; nothing is left listening. */
  start(): Promise<void>;
  /** The next delivery is judged by these secrets, where the settings have none. */
  useKeptSecrets(secret: string, secretPrevious: string): void;
  /** The next request is judged by these tokens and secrets; certificates are looked at. */
  reload(config: Config): Promise<void>;
  /** Refuses what is new, lets what is in flight end, and closes what is left after `deadlineMs`. */
  stop(deadlineMs: number): Promise<void>;
}

/** What has routes and settings of its own for listening. */
type Name = "streaming" | "webhook";

/** Those who share one listener. */
type Group = readonly [Name, ...Name[]];

interface Listener {
  readonly names: Group;
  readonly server: HttpServer;
}

/** @throws {ConfigError} when two receivers take the same path of one listener. */
export function createReceivers(
  config: Config,
  { pipeline, journal, telemetry, logger, clock, webhookSignedBy = () => {} }: ReceiversDeps,
): Receivers {
  const shared = { pipeline, telemetry, logger, clock };
  const hec = createHecReceiver(config.streaming, {
    ...shared,
    health: () => (journal.space.refusal === undefined ? "ok" : "full"),
  });
  const webhook = createWebhookReceiver(config.webhook, {
    ...shared,
    forgottenUntil: () => journal.horizon("webhook").until,
    signedBy: webhookSignedBy,
  });
  const receivers = { streaming: hec, webhook };
  const listeners = groupsOf(config).map((names): Listener => {
    const [first] = names;
    const routes = names.flatMap((name): readonly Route[] => receivers[name].routes);
    const { listen, tls } = config[first];
    const metric = first === "streaming" ? "tailscale.stream.rejected" : "tailscale.webhook.rejected";
    const misdirected = (reason: MisdirectedReason): void => telemetry.add(metric, 1, { reason });
    const server = createHttpServer(
      { listen, tls: tlsFilesOf(tls) },
      { routes, logger, telemetry, clock, misdirected },
    );
    return { names, server };
  });

  let { webhook: settings } = config;
  let kept = { secret: "", previous: "" };

  function judgeBySecrets(): void {
    if (settings.secret !== "") webhook.useSecrets(settings.secret, settings.secret_previous);
    else webhook.useSecrets(kept.secret, kept.previous === "" ? settings.secret_previous : kept.previous);
  }

  function addressOf(name: Name): string | undefined {
    const server = listeners.find(({ names }) => names.includes(name))?.server;
    if (server === undefined) return undefined;
    const { listen, tls } = config[name];
    return urlOfListen(listen, tlsFilesOf(tls) === undefined ? "http" : "https", server.port);
  }

  return {
    get addresses() {
      const stream = addressOf("streaming");
      const webhookAddress = addressOf("webhook");
      return { ...(stream && { stream }), ...(webhookAddress && { webhook: webhookAddress }) };
    },
    async start() {
      try {
        for (const { server } of listeners) await server.start();
      } catch (error) {
        await Promise.all(listeners.map(({ server }) => server.stop(0)));
        throw error;
      }
    },
    useKeptSecrets(secret, previous) {
      kept = { secret, previous };
      judgeBySecrets();
    },
    async reload(next) {
      hec.useTokens(next.streaming.token, next.streaming.token_previous);
      settings = next.webhook;
      judgeBySecrets();
      await Promise.all(listeners.map(({ names: [first], server }) => server.reload(tlsFilesOf(next[first].tls))));
    },
    async stop(deadlineMs) {
      void hec.drain();
      void webhook.drain();
      await Promise.all(listeners.map(({ server }) => server.stop(deadlineMs)));
    },
  };
}

/** Receivers by listener: those with the same address and the same certificate share one. */
function groupsOf(config: Config): readonly Group[] {
  const groups = new Map<string, [Name, ...Name[]]>();
  for (const name of ["streaming", "webhook"] as const) {
    const { enabled, listen, tls } = config[name];
    if (!enabled) continue;
    const key = [listen, tls.cert_file, tls.key_file].join("\n");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [name]);
    else group.push(name);
  }
  return [...groups.values()];
}
