/** Which tailnet a request is about: its path may name it, and a token or a signature decides. */
import type { Exchange } from "../http/exchange.ts";
import type { Route } from "../http/router.ts";
import type { ReceiverDeps } from "./intake.ts";

/** A tailnet as a receiver knows it. */
export interface Known extends Pick<ReceiverDeps, "pipeline" | "telemetry" | "logger"> {
  /** Empty if the process serves one tailnet, whose paths name none. */
  readonly name: string;
}

/** The tailnets of a receiver, and which of them the requests so far were about. */
export interface Tailnets<Tailnet extends Known> {
  /** All that a request may be about by its path: none if the path names one that is not known. */
  candidates(exchange: Exchange): readonly Tailnet[];
  /** The request is about that tailnet. */
  decide(exchange: Exchange, tailnet: Tailnet): void;
  /** As far as it is known. */
  of(exchange: Exchange): Tailnet | undefined;
  /** A route for the path, and if there are names, one for the path behind any of them: none of the names shows. */
  routes(path: string, methods: Route["methods"]): readonly Route[];
}

/** `usualPaths`: those that name no tailnet. */
export function createTailnets<Tailnet extends Known>(
  all: readonly Tailnet[],
  usualPaths: readonly string[],
): Tailnets<Tailnet> {
  const isNamed = all.some(({ name }) => name !== "");
  const usual = new Set(usualPaths);
  const decided = new WeakMap<Exchange, Tailnet>();

  function candidates({ path }: Exchange): readonly Tailnet[] {
    if (!isNamed || usual.has(path)) return all;
    const named = path.slice(1, path.indexOf("/", 1));
    return all.filter(({ name }) => name === named);
  }

  return {
    candidates,
    decide: (exchange, tailnet) => void decided.set(exchange, tailnet),
    of(exchange) {
      const [only, ...others] = candidates(exchange);
      return decided.get(exchange) ?? (others.length === 0 ? only : undefined);
    },
    routes: (path, methods) => [{ path, methods }, ...(isNamed ? [{ path: `/*${path}`, methods }] : [])],
  };
}
