/** From the operator's settings to the address and headers of each signal. */
import type { Signal } from "./answer.ts";
import type { Destination, TlsOptions } from "./sender.ts";

/** One signal's own settings where they differ. */
export interface SignalEndpoint {
  /** A full address, used as written; empty where the common one serves. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface EndpointOptions {
  /** The base address; `/v1/logs` or `/v1/metrics` is appended. Empty where there is none. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly logs: SignalEndpoint;
  readonly metrics: SignalEndpoint;
  readonly compression: "gzip" | "none";
  readonly timeoutMs: number;
  readonly tls?: TlsOptions;
  /** Sent as `user-agent`. */
  readonly userAgent: string;
}

/**
 * The destination of one signal, or nothing where it has no address. Header names are lower-cased, a signal's own win,
 * and credentials in the address become a header, since `fetch` and messages must not carry them.
 * @throws {TypeError} when the address is no URL.
 */
export function destinationOf(signal: Signal, options: EndpointOptions): Destination | undefined {
  const own = options[signal];
  const written = own.endpoint === "" ? options.endpoint : own.endpoint;
  if (written === "") return undefined;
  const url = new URL(written);
  if (own.endpoint === "") url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/${signal}`;
  const headers: Record<string, string> = { "user-agent": options.userAgent };
  if (url.username !== "") {
    headers["authorization"] = basicAuthorization(decodeURIComponent(url.username), decodeURIComponent(url.password));
    url.username = "";
    url.password = "";
  }
  for (const given of [options.headers, own.headers]) {
    for (const [name, value] of Object.entries(given)) headers[name.toLowerCase()] = value;
  }
  return {
    signal,
    url: url.href,
    headers,
    compression: options.compression,
    timeoutMs: options.timeoutMs,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  };
}

/** The `authorization` header of HTTP Basic (RFC 7617); Grafana Cloud takes instance id and token in it. */
export function basicAuthorization(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}
