/** What the `tailnet` commands share: access to Tailscale's API, output of results, and confirmation before anything is replaced or removed. */
import { type Config, describeProblem, loadSections } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { memoryPath } from "../journal/index.ts";
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { systemClock } from "../lib/clock.ts";
import { createTailscaleApi } from "../tailscale/index.ts";
import { tailscaleOptionsOf } from "../tailscale/options.ts";
import type { TailscaleApi } from "../tailscale/types.ts";
import { type Flags, UsageError } from "./flags.ts";
import { configFlags, sourcesOf } from "./sources.ts";
import type { Host } from "./terminal.ts";

export const tailnetFlags = {
  ...configFlags,
  json: { type: "boolean", description: "JSON instead of text; as in a pipe." },
} as const;

export const yesFlag = {
  yes: { type: "boolean", alias: "y", description: "Do not ask. Required if there is no terminal to ask on." },
} as const;

export interface TailnetAccess {
  readonly config: Config;
  readonly api: TailscaleApi;
  /** Where a service with this configuration finds its state; nothing if it keeps its state in memory. */
  readonly stateDirectory: string | undefined;
}

/**
 * Mistakes in unrelated settings are for `check` to report.
 * @throws {ConfigError} if the configuration file cannot be read, a flag or settings of `section` or of the API are wrong, or credentials are missing.
 */
export function openTailnet(flags: Flags, host: Host, section: "streaming" | "webhook"): TailnetAccess {
  const { config, problems } = loadSections(sourcesOf(flags, host), ["tailscale", section]);
  const refuseWrong = (name: string): void => {
    const wrong = problems.filter(({ key }) => key.startsWith(`${name}.`));
    if (wrong.length > 0) throw new ConfigError(wrong.map(describeProblem));
  };
  refuseWrong("tailscale");
  const options = tailscaleOptionsOf(config);
  if (options === undefined) {
    throw new ConfigError([
      "there are no credentials for Tailscale's API: set tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret (TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID and …__CLIENT_SECRET)",
    ]);
  }
  refuseWrong(section);
  const api = createTailscaleApi(options, {
    fetch,
    clock: systemClock,
    random: Math.random,
    telemetry: silentTelemetry,
  });
  return { config, api, stateDirectory: config.state.path === memoryPath ? undefined : config.state.path };
}

/** Text for a person on a terminal, JSON for a program. */
export async function showResult(
  host: Host,
  isJson: boolean | undefined,
  result: { readonly json: unknown; readonly text: string },
): Promise<void> {
  const asJson = isJson === true || !host.out.isTerminal;
  await host.out.write(asJson ? `${JSON.stringify(result.json, undefined, 2)}\n` : result.text);
}

/**
 * Whether the person agrees, by `--yes` or on the terminal.
 * @throws {UsageError} if there is no terminal to ask on and `--yes` is not given.
 */
export async function isConfirmed(host: Host, isSaid: boolean | undefined, question: string): Promise<boolean> {
  if (isSaid === true) return true;
  const answer = await host.ask(`${question} [y/N] `);
  if (answer === undefined)
    throw new UsageError(`${question} Confirm with --yes, since there is no terminal to ask on`);
  return /^\s*y(?:es)?\s*$/i.test(answer);
}

/** Reports that the answer was no; returns the exit code. */
export async function leaveAlone(host: Host): Promise<number> {
  await host.err.write("nothing was changed\n");
  return 1;
}
