/** What the `tailnet` commands share: the way to Tailscale's API, how results are shown, and asking before harm is done. */
import { type Config, describeProblem, inspectConfig } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { memoryPath } from "../journal/directory.ts";
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
  yes: { type: "boolean", alias: "y", description: "Do not ask. Needed where nobody can be asked." },
} as const;

export interface TailnetAccess {
  readonly config: Config;
  readonly api: TailscaleApi;
  /** Where a running service with this configuration finds what is kept; nothing where it keeps state in memory. */
  readonly stateDirectory: string | undefined;
}

/**
 * Mistakes in settings that have nothing to do with it are the business of `check`.
 * @throws {ConfigError} where settings of `section` or of the API are wrong, or credentials are missing.
 */
export function openTailnet(flags: Flags, host: Host, section: "streaming" | "webhook"): TailnetAccess {
  const { config, problems } = inspectConfig(sourcesOf(flags, host));
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
 * Whether it may be done.
 * @throws {UsageError} where nobody can be asked and `--yes` is not given.
 */
export async function isConfirmed(host: Host, isSaid: boolean | undefined, question: string): Promise<boolean> {
  if (isSaid === true) return true;
  const answer = await host.ask(`${question} [y/N] `);
  if (answer === undefined) throw new UsageError(`${question} Say so with --yes, since nobody can be asked here`);
  return /^\s*y(?:es)?\s*$/i.test(answer);
}

/** The exit code where the answer was no. */
export async function leaveAlone(host: Host): Promise<number> {
  await host.err.write("nothing was changed\n");
  return 1;
}
