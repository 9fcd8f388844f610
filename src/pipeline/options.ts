/** From the settings to the limits of the pipeline and to what the store is measured against. */
import type { Config } from "../config/schema.ts";
import { journalOptionsOf } from "../journal/options.ts";
import type { StoreLimits } from "./observe.ts";
import type { LogLimit } from "./types.ts";

export function storeLimitsOf(config: Config): StoreLimits {
  const { flow, audit, webhook } = journalOptionsOf(config).keyLimits;
  return {
    windowsMs: { flow: flow.windowMs, audit: audit.windowMs, webhook: webhook.windowMs },
    metricLimit: config.cardinality.metric_limit,
  };
}

/** Nothing where log events are not limited. */
export function logLimitOf({ collectors: { flowlogs } }: Config): LogLimit | undefined {
  const maxEvents = flowlogs.max_log_records_per_window;
  return maxEvents === 0 ? undefined : { maxEvents, flowLogMode: flowlogs.log_mode };
}
