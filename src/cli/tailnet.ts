/**
 * Shared parts of the `tailnet` commands: access to Tailscale's API, and confirmation before anything is replaced or removed.
 */
import { silentTelemetry } from "../catalogue/telemetry.ts";
import {
  type ConfigSources,
  describeFinding,
  hasCredentials,
  loadSections,
  type TailnetConfig,
  variableOf,
} from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { systemClock } from "../lib/clock.ts";
import { createTailscaleApi, type TailscaleApi } from "../tailscale/index.ts";
import { chosenTailnet, configFlags, jsonFlag, tailnetFlag, UsageError } from "./flags.ts";
import type { Host } from "./terminal.ts";

export const tailnetFlags = { ...configFlags, ...tailnetFlag, ...jsonFlag } as const;

export const yesFlag = {
  yes: { type: "boolean", alias: "y", description: "Do not ask for confirmation. Required without a terminal." },
} as const;

export interface TailnetAccess extends TailnetConfig {
  readonly api: TailscaleApi;
}

/**
 * Problems in unrelated settings are left for `check` to report.
 * @throws {ConfigError} if the file cannot be read, a flag or a setting of `section` or of the API is invalid, or credentials
 * are missing.
 */
export function openTailnet(
  sources: ConfigSources,
  section: "streaming" | "webhook",
  tailnet: string | undefined,
): TailnetAccess {
  const { config: all, problems } = loadSections(sources, ["tailscale", section, "tailnet"]);
  const chosen = chosenTailnet(all, tailnet);
  const { config, keyOf } = chosen;
  const refuseWrong = (name: string): void => {
    const wrong = problems.filter(({ key }) => key.startsWith(`${name}.`) || key.startsWith(`${keyOf(name)}.`));
    if (wrong.length > 0) throw new ConfigError(wrong.map(describeFinding));
  };
  refuseWrong("tailscale");
  if (!hasCredentials(config)) {
    const id = keyOf("tailscale.auth.oauth.client_id");
    const secret = keyOf("tailscale.auth.oauth.client_secret");
    throw new ConfigError([
      `there are no credentials for Tailscale's API: set ${id} and ${secret} (${variableOf(id)} and …__CLIENT_SECRET)`,
    ]);
  }
  refuseWrong(section);
  const deps = { fetch, clock: systemClock, random: Math.random, telemetry: silentTelemetry };
  return { ...chosen, api: createTailscaleApi(config.tailscale, deps) };
}

/** @throws {UsageError} if there is no terminal for the question and `--yes` is not given. */
export async function isConfirmed(host: Host, isAgreed: boolean | undefined, question: string): Promise<boolean> {
  if (isAgreed === true) return true;
  const answer = await host.ask(`${question} [y/N] `);
  if (answer === undefined) throw new UsageError(`${question} There is no terminal to ask on: confirm with --yes`);
  return /^\s*y(?:es)?\s*$/i.test(answer);
}
