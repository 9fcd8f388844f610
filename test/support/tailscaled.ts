/** A stand-in for tailscaled's LocalAPI on a socket, as strict as the real one (v1.102.5) and with identical responses. */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { IssuedPair } from "./certificates.ts";

export interface StandInState {
  /** True if the socket's user may have certificates. */
  permits: boolean;
  /** `BackendState`. */
  state: string;
  magicDns: boolean;
  certDomains: readonly string[] | null;
  pair: IssuedPair | undefined;
  /** The status and text with which the authority rejects a new certificate. */
  refusal: { readonly status: number; readonly text: string; readonly retryAfter?: string } | undefined;
  /** The fault in the response. */
  fault: "silent" | "huge" | "cut" | "no key" | undefined;
}

export interface StandIn {
  readonly state: StandInState;
  /** Paths with their queries, in order. */
  readonly requests: string[];
  stop(): Promise<void>;
}

export const nodeName = "node.tail1234.ts.net";

/** Starts a node that is logged in and has a certificate, with `changes` applied. */
export async function startTailscaled(socket: string, changes: Partial<StandInState>): Promise<StandIn> {
  const state: StandInState = {
    permits: true,
    state: "Running",
    magicDns: true,
    certDomains: [nodeName],
    pair: undefined,
    refusal: undefined,
    fault: undefined,
    ...changes,
  };
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { host, origin, referer } = request.headers;
    const [path = "", query = ""] = (request.url ?? "").split("?");
    requests.push(request.url ?? "");
    const parameters = new URLSearchParams(query);
    if (host !== "local-tailscaled.sock" || origin !== undefined || referer !== undefined)
      return text(response, 403, "invalid localapi request\n");
    if (path === "/localapi/v0/status") return text(response, 200, JSON.stringify(statusOf(state)));
    if (!path.startsWith("/localapi/v0/cert/")) return text(response, 404, "404 page not found\n");
    return certificate(response, state, path.slice("/localapi/v0/cert/".length), parameters);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return { state, requests, stop: () => stop(server) };
}

function statusOf({ state, magicDns, certDomains }: StandInState): object {
  const hasMap = state === "Running" || state === "Starting";
  return {
    Version: "1.102.5",
    BackendState: state,
    Self: { DNSName: hasMap ? `${nodeName}.` : "" },
    CertDomains: hasMap ? certDomains : null,
    CurrentTailnet: hasMap ? { Name: "example.com", MagicDNSEnabled: magicDns } : null,
    Peer: null,
  };
}

/** Checks in the same order as the real one. */
function certificate(
  response: ServerResponse,
  { permits, state, certDomains, pair, refusal, fault }: StandInState,
  name: string,
  parameters: URLSearchParams,
): void {
  if (!permits) return text(response, 403, "cert access denied\n");
  const validity = parameters.get("min_validity") ?? "";
  if (!/^(\d+s)?$/.test(validity)) return text(response, 400, `invalid validity parameter: ${validity}\n`);
  if (state !== "Running") return text(response, 500, "no netmap available\n");
  if ((certDomains ?? []).length === 0)
    return text(response, 500, "your Tailscale account does not support getting TLS certs\n");
  if (certDomains?.includes(name) !== true)
    return text(response, 500, `invalid domain "${name}"; must be one of ["${certDomains?.join('" "')}"]\n`);
  const mustIssue = pair === undefined || (validity !== "" && validity !== "0s");
  if (refusal !== undefined && mustIssue) {
    if (refusal.retryAfter !== undefined) response.setHeader("retry-after", refusal.retryAfter);
    return text(response, refusal.status, refusal.text);
  }
  if (fault === "silent" || pair === undefined) return;
  if (fault === "huge") return text(response, 200, "x".repeat(3_000_000));
  if (parameters.get("type") !== "pair" || fault === "no key") return text(response, 200, pair.certificate);
  if (fault === "cut") {
    response.writeHead(200, { "content-length": "5000" });
    response.write(pair.key, () => response.socket?.destroy());
    return;
  }
  text(response, 200, pair.key + pair.certificate);
}

function text(response: ServerResponse, status: number, body: string): void {
  response.statusCode = status;
  response.end(body);
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
