/** What the `tailnet` commands share: access to Tailscale's API, and confirmation before anything is replaced or removed. */
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { type Config, describeFinding, hasCredentials, loadSections } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { memoryPath } from "../journal/index.ts";
import { systemClock } from "../lib/clock.ts";
import { createTailscaleApi, type TailscaleApi } from "../tailscale/index.ts";
import { configFlags, type Flags, jsonFlag, sourcesOf, UsageError } from "./flags.ts";
import { type Host, jsonText } from "./terminal.ts";

export const tailnetFlags = { ...configFlags, ...jsonFlag } as const;

export const yesFlag = {
  yes: { type: "boolean", alias: "y", description: "Do not ask. Required if there is no terminal to ask on." },
} as const;

export interface TailnetAccess {
  readonly config: Config;
  readonly api: TailscaleApi;
  /** Where a service with this configuration keeps its state; nothing if that is memory. */
  readonly stateDirectory: string | undefined;
}

/**
 * Problems in unrelated settings are for `check` to report.
 * @throws {ConfigError} if the file cannot be read, a flag or settings of `section` or of the API are wrong, or credentials are missing.
 */
export function openTailnet(flags: Flags, host: Host, section: "streaming" | "webhook"): TailnetAccess {
  const { config, problems } = loadSections(sourcesOf(flags, host), ["tailscale", section]);
  const refuseWrong = (name: string): void => {
    const wrong = problems.filter(({ key }) => key.startsWith(`${name}.`));
    if (wrong.length > 0) throw new ConfigError(wrong.map(describeFinding));
  };
  refuseWrong("tailscale");
  if (!hasCredentials(config)) {
    throw new ConfigError([
      "there are no credentials for Tailscale's API: set tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret (TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID and …__CLIENT_SECRET)",
    ]);
  }
  refuseWrong(section);
  const deps = { fetch, clock: systemClock, random: Math.random, telemetry: silentTelemetry };
  const stateDirectory = config.state.path === memoryPath ? undefined : config.state.path;
  return { config, api: createTailscaleApi(config.tailscale, deps), stateDirectory };
}

export async function showResult(
  { out }: Host,
  isJson: boolean | undefined,
  result: { readonly json: unknown; readonly text: string },
): Promise<void> {
  await out.write(isJson === true ? jsonText(result.json, 2) : result.text);
}

/** @throws {UsageError} if there is no terminal to ask on and `--yes` is not given. */
export async function isConfirmed(host: Host, isAgreed: boolean | undefined, question: string): Promise<boolean> {
  if (isAgreed === true) return true;
  const answer = await host.ask(`${question} [y/N] `);
  if (answer === undefined) throw new UsageError(`${question} There is no terminal to ask on: confirm with --yes`);
  return /^\s*y(?:es)?\s*$/i.test(answer);
}

/** Reports that the answer was no; returns the exit code. */
export async function declined(host: Host): Promise<number> {
  await host.err.write("nothing was changed\n");
  return 1;
}
