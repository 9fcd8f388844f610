/** Runs the enabled receivers on as few listeners as they can share. */
import { type Config, usesTls } from "../config/index.ts";
import { tlsSourceOf } from "../http/tls.ts";
import type { Misdirected, Route } from "../http/router.ts";
import { createHttpServer, type HttpServer } from "../http/server.ts";
import type { Journal } from "../journal/index.ts";
import { shownListen } from "../lib/listen.ts";
import { createHecReceiver } from "./hec/index.ts";
import type { ReceiverDeps } from "./intake.ts";
import { createWebhookReceiver } from "./webhook/index.ts";

/** A tailnet whose records are received. */
export interface ReceivingTailnet extends Omit<ReceiverDeps, "clock"> {
  /** Empty if there is only one tailnet. */
  readonly name: string;
  readonly config: Config;
  readonly journal: Pick<Journal, "space" | "horizon">;
  /** Called with the secret that a webhook delivery was signed with. */
  readonly webhookSignedBy: (secret: string) => void;
}

/** For requests that belong to no tailnet. */
export type ReceiversDeps = Omit<ReceiverDeps, "pipeline">;

/** Where the receivers listen: a URL, or a text such as "http on all interfaces, port 8088". */
export interface ReceiverAddresses {
  readonly stream?: string;
  readonly webhook?: string;
}

/** A receiver that listens. */
export interface ReceiverListener extends Pick<HttpServer, "certificate"> {
  readonly name: keyof ReceiverAddresses;
  /** As in `ReceiverAddresses`. */
  readonly address: string;
}

export interface Receivers {
  /** Valid only after `start`. */
  readonly addresses: ReceiverAddresses;
  readonly listeners: readonly ReceiverListener[];
  /** Why some receivers accept nothing yet. */
  readonly closed: readonly string[];
  /** @throws {Error} with one line for the operator; nothing is left listening. */
  start(): Promise<void>;
  /** Verifies that tailnet's deliveries against these secrets from now on, unless the settings have some. */
  useStoredSecrets(tailnet: string, secret: string, secretPrevious: string): void;
  /** Checks requests against these tokens and secrets from now on, and reads the certificates again. */
  reload(config: Config, tailnets: readonly Pick<ReceivingTailnet, "name" | "config">[]): Promise<void>;
  /** Accepts no new connections, lets requests finish, and closes the rest after `deadlineMs`. */
  stop(deadlineMs: number): Promise<void>;
}

/** A settings section with its own routes and listen address. */
type Name = "streaming" | "webhook";

/** One address and certificate, and the receivers that share it. */
interface Listener {
  readonly names: readonly Name[];
  readonly server: HttpServer;
}

/** @throws {ConfigError} if two receivers use the same path on one listener. */
export function createReceivers(
  config: Config,
  tailnets: readonly [ReceivingTailnet, ...ReceivingTailnet[]],
  deps: ReceiversDeps,
): Receivers {
  const [oldest] = tailnets;
  const shared = { ...deps, pipeline: oldest.pipeline };
  const hec = createHecReceiver(
    config.streaming,
    { ...shared, isFull: () => tailnets.every(({ journal }) => journal.space.refusal !== undefined) },
    tailnets.flatMap((tailnet) =>
      tailnet.config.streaming.enabled ? [{ ...tailnet, settings: tailnet.config.streaming }] : [],
    ),
  );
  const forgottenUntil = (): number => oldest.journal.horizon("webhook").until;
  const webhook = createWebhookReceiver(
    config.webhook,
    { ...shared, forgottenUntil },
    tailnets.flatMap((tailnet) => {
      const { journal, webhookSignedBy: signedBy } = tailnet;
      const own = {
        settings: tailnet.config.webhook,
        forgottenUntil: () => journal.horizon("webhook").until,
        signedBy,
      };
      return tailnet.config.webhook.enabled ? [{ ...tailnet, ...own }] : [];
    }),
  );
  const enabled = (["streaming", "webhook"] as const).filter((name) => config[name].enabled);
  const byAddress = Map.groupBy(enabled, (name) => JSON.stringify([config[name].listen, config[name].tls]));
  const listeners = [...byAddress.values()].map((names) => listenerOf(names));
  const settings = new Map(tailnets.map(({ name, config: own }) => [name, own.webhook]));
  const stored = new Map<string, { readonly secret: string; readonly previous: string }>();

  function listenerOf(names: readonly Name[]): Listener {
    const routes = names.flatMap((name): readonly Route[] => ({ streaming: hec, webhook })[name].routes);
    const { listen, tls } = config[names[0] as Name];
    const component = names.includes("streaming") ? "stream" : "webhook";
    const metric = `tailscale.${component}.rejected` as const;
    const misdirected = (reason: Misdirected["reason"]): void => shared.telemetry.add(metric, 1, { reason });
    const server = createHttpServer(
      { listen, tls: tlsSourceOf(tls, config.tailscale), component },
      { ...shared, routes, misdirected },
    );
    return { names, server };
  }

  function useSecrets(tailnet: string): void {
    const { secret = "", secret_previous: previous = "" } = settings.get(tailnet) ?? {};
    const kept = stored.get(tailnet);
    if (secret !== "" || kept === undefined) webhook.useSecrets(secret, previous, tailnet);
    else webhook.useSecrets(kept.secret, kept.previous === "" ? previous : kept.previous, tailnet);
  }

  const serverOf = (name: Name): HttpServer | undefined => listeners.find(({ names }) => names.includes(name))?.server;
  const componentOf = (name: Name): keyof ReceiverAddresses => (name === "streaming" ? "stream" : name);

  function addressOf(name: Name): string {
    const { listen, tls } = config[name];
    const server = serverOf(name);
    const address = shownListen(listen, usesTls(tls) ? "https" : "http", server?.port ?? 0);
    return server?.isWaiting === true ? `${address} (closed until there is a TLS certificate)` : address;
  }

  return {
    get addresses() {
      return Object.fromEntries(enabled.map((name) => [componentOf(name), addressOf(name)]));
    },
    get listeners() {
      return enabled.map((name) => ({
        name: componentOf(name),
        address: addressOf(name),
        certificate: serverOf(name)?.certificate,
      }));
    },
    get closed() {
      return listeners
        .filter(({ server }) => server.isWaiting)
        .map(
          ({ names: [first = "streaming"] }) => `${config[first].listen} has no TLS certificate from tailscaled yet`,
        );
    },
    async start() {
      try {
        for (const { server } of listeners) await server.start();
      } catch (error) {
        await Promise.all(listeners.map(({ server }) => server.stop(0)));
        throw error;
      }
    },
    useStoredSecrets(tailnet, secret, previous) {
      stored.set(tailnet, { secret, previous });
      useSecrets(tailnet);
    },
    async reload(next, reloaded) {
      for (const { name, config: own } of reloaded) {
        hec.useTokens(own.streaming.token, own.streaming.token_previous, name);
        settings.set(name, own.webhook);
        useSecrets(name);
      }
      await Promise.all(
        listeners.map(({ names: [name = "streaming"], server }) =>
          server.reload(tlsSourceOf(next[name].tls, next.tailscale)),
        ),
      );
    },
    async stop(deadlineMs) {
      await Promise.all(listeners.map(({ server }) => server.stop(deadlineMs)));
    },
  };
}
