/** Determines the tailnet of a request: the path may name it, and a token or signature decides. */
import type { Exchange } from "../http/exchange.ts";
import type { Route } from "../http/router.ts";
import type { ReceiverDeps } from "./intake.ts";

/** A tailnet as a receiver knows it. */
export interface Known extends Pick<ReceiverDeps, "pipeline" | "telemetry" | "logger"> {
  /** Empty if the process serves one tailnet, whose paths name none. */
  readonly name: string;
}

/** The tailnets of a receiver, and the one each request belongs to. */
export interface Tailnets<Tailnet extends Known> {
  /** The tailnets that the request's path allows; none if the path names an unknown one. */
  candidates(exchange: Exchange): readonly Tailnet[];
  /** Records that the request belongs to that tailnet. */
  decide(exchange: Exchange, tailnet: Tailnet): void;
  /** The tailnet of the request, if known. */
  of(exchange: Exchange): Tailnet | undefined;
  /** A route for the path and, with named tailnets, one for the path after any first segment, which reveals no names. */
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
