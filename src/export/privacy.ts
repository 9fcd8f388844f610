/** What privacy leaves of what is no record: common attributes, the name of this machine, own log lines. */
import type { Logger } from "../lib/logger.ts";
import type { ProcessorOptions } from "../processors/index.ts";
import { privacyOf } from "../processors/privacy.ts";
import { rewritingLogger } from "./self-logs.ts";

/** What stands on every point: the name of the tailnet. */
export function commonAttributes({ tailnet, privacy }: ProcessorOptions): Readonly<Record<string, string>> {
  const shown = privacy === undefined ? tailnet : privacyOf(privacy).value("tailnet_name", tailnet);
  return tailnet === "" || shown === undefined ? {} : { "tailscale.tailnet": shown };
}

/** This machine is a node too. Empty where its name is dropped. */
export function shownHostName(name: string, { privacy }: ProcessorOptions): string {
  return privacy === undefined ? name : (privacyOf(privacy).node(name) ?? "");
}

/** A logger whose lines tell no more than records do. */
export function hidingLogger(logger: Logger, { privacy }: ProcessorOptions): Logger {
  return privacy === undefined ? logger : rewritingLogger(logger, privacyOf(privacy).text);
}
