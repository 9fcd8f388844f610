/** Decides whether a delivery may come in: by its signature, or without a secret by where it comes from. */
import { isFromBrowser } from "../../http/browser-gate.ts";
import type { Body } from "../../http/body.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { WebhookAnswerName } from "./protocol.ts";
import { isSigned, judgeTime, readSignature, signatureHeader, type TimeRules } from "./signature.ts";

export interface GateOptions extends TimeRules {
  readonly secret: string;
  /** Accepted too, while the secret is being rotated. */
  readonly secretPrevious: string;
  /** Without any secret nobody may send, rather than everybody: there will be one. */
  readonly awaitsSecret: boolean;
  /** Names under which this machine is reached through a proxy on it; matters without a secret only. */
  readonly ownHosts: readonly string[];
  /** Epoch milliseconds up to which it is no longer known which deliveries were taken. */
  forgottenUntil(): number;
  /** Told the secret that a delivery was signed with. */
  signedBy(secret: string): void;
}

/** A verdict is the answer to one who may not come in, or nothing. */
export interface Gate {
  /** Before the body is read. */
  judgeSender(exchange: Exchange): WebhookAnswerName | undefined;
  /** Before the body is looked into. `receivedAt`: epoch milliseconds. */
  judgeBody(request: Request, body: Body, receivedAt: number): WebhookAnswerName | undefined;
}

/** Without any secret, every program may send, and no web page; or nobody, until there is one. */
export function createGate(options: GateOptions): Gate {
  const { ownHosts, toleranceMs } = options;
  const secrets = [options.secret, options.secretPrevious].filter((secret) => secret !== "");
  if (secrets.length === 0 && options.awaitsSecret)
    return { judgeSender: () => "secretUnknown", judgeBody: () => "secretUnknown" };
  if (secrets.length === 0) {
    return {
      judgeSender: (exchange) => (isFromBrowser(exchange, ownHosts) ? "crossSite" : undefined),
      judgeBody: () => undefined,
    };
  }
  return {
    judgeSender: () => undefined,
    judgeBody(request, { chunks }, receivedAt) {
      const signature = readSignature(request.headers.get(signatureHeader));
      if (signature === "missing_signature") return "missingSignature";
      if (signature === "malformed_signature") return "malformedSignature";
      const time = judgeTime(signature.seconds, receivedAt, options);
      if (time === "stale_timestamp") return "staleTimestamp";
      if (time === "future_timestamp") return "futureTimestamp";
      // Each secret is tried, whichever fits.
      const isMadeWith = secrets.map((secret) => isSigned(signature, chunks, [secret]));
      const signer = secrets[isMadeWith.indexOf(true)];
      if (signer === undefined) return "badSignature";
      options.signedBy(signer);
      if (time === "timely") return undefined;
      // Sent at the earliest that its time allows, its events must still be known, or a replay would be news.
      return signature.seconds * 1000 - toleranceMs > options.forgottenUntil() ? undefined : "staleTimestamp";
    },
  };
}
