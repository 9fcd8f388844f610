/** From the settings to the receiver's options. */
import type { Config } from "../../config/schema.ts";
import type { HecReceiverOptions } from "./index.ts";

export function hecOptionsOf({ streaming }: Config): HecReceiverOptions {
  return {
    path: streaming.path,
    token: streaming.token,
    tokenPrevious: streaming.token_previous,
    decompress: streaming.decompress,
    maxBodyBytes: streaming.max_body_bytes,
    maxInflightBytes: streaming.max_inflight_bytes,
    maxConcurrentRequests: streaming.max_concurrent_requests,
    requestTimeoutMs: streaming.request_timeout,
  };
}
