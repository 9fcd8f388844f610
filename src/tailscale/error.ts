/** Why Tailscale's API did not give what was asked for: the closed set, each with what to do about it. */

export type TailscaleErrorReason =
  /** The key or the client is wrong, expired or revoked. */
  | "unauthorized"
  /** The credentials are good and may not do this. */
  | "missing_scope"
  /** The tailnet's plan or settings do not have it: flow logs that are off, log streaming that is not part of the plan. */
  | "not_enabled"
  /** No such tailnet, webhook or stream. */
  | "not_found"
  /** The request is one that the API does not take. */
  | "rejected"
  | "rate_limited"
  /** No connection, or an answer of 500 and above. */
  | "unavailable"
  | "timeout"
  /** The answer is larger than was asked for. */
  | "too_large"
  /** The answer is none of the API's: torn, or another shape. */
  | "malformed"
  /** The answer points to another origin, where credentials must not go. */
  | "redirected"
  /** The caller gave up. */
  | "aborted";

/** `message` is one line for an operator, without credentials or anything of an answer of the token endpoint. */
export class TailscaleError extends Error {
  override readonly name = "TailscaleError";
  constructor(
    readonly reason: TailscaleErrorReason,
    message: string,
    /** One sentence: what to do about it. */
    readonly remedy: string,
    /** The answer's status, where there was one. */
    readonly status?: number,
  ) {
    super(message);
  }
}
