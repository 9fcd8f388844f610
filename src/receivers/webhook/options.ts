/** From the settings to the receiver's options. */
import type { Config } from "../../config/schema.ts";
import type { WebhookReceiverOptions } from "./index.ts";

export function webhookOptionsOf({ webhook }: Config): WebhookReceiverOptions {
  return {
    path: webhook.path,
    secret: webhook.secret,
    secretPrevious: webhook.secret_previous,
    awaitsSecret: webhook.auto_configure,
    toleranceMs: webhook.tolerance,
    lateRetryWindowMs: webhook.late_retry_window,
    maxBodyBytes: webhook.max_body_bytes,
  };
}
