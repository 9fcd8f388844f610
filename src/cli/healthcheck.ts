/** The `healthcheck` command, which reports liveness or readiness as an exit code for containers and supervisors. */
import { type ConfigSources, loadSections } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { connectionError } from "../lib/system-error.ts";
import { printable } from "../lib/text.ts";
import { isObject } from "../records/members.ts";
import { BadAnswer } from "../tailscale/errors.ts";
import { type AdminAddress, adminAddresses, urlFlag } from "./admin-address.ts";
import { readAnswer } from "./admin-answers.ts";
import { trusting } from "./admin-client.ts";
import { type Command, command } from "./command.ts";
import { configFlags, toggle } from "./flags.ts";

/** The total time limit. */
const limitMs = 3_000;

/** Small, because it may run in a container with little memory. */
const maxAnswerBytes = 64 * 1024;

export const healthcheckCommand: Command = command({
  name: "healthcheck",
  description: "Exit with 0 if the instance is healthy, and with 1 if not",
  args: { ...configFlags, ...urlFlag, ready: toggle("Require that it accepts records, not only that it runs.") },
  examples: [
    ["tailscale2otel healthcheck", "HEALTHCHECK of a container"],
    ["tailscale2otel healthcheck --ready", "readiness: 1 while the journal is full, for example"],
  ],
  notes: "Asks /healthz of the admin listener, or /readyz with --ready, which need no token. Ends within 3 s.",
  async run({ args, sources, host }) {
    const { addresses, problem } = placesOf(args.url, sources);
    const signal = AbortSignal.timeout(limitMs);
    const path = args.ready === true ? "/readyz" : "/healthz";
    let why = problem;
    for (const address of addresses) {
      const { isHealthy, text } = await ask(address, path, signal);
      if (isHealthy) return { text: `${printable(text)}\n`, json: undefined };
      why = text;
    }
    await host.out.write(`unhealthy: ${printable(why)}\n`);
    return 1;
  },
});

/** An invalid configuration counts as unhealthy, because containers only know exit code 1. */
function placesOf(url: string | undefined, sources: ConfigSources) {
  const problem = "no admin listener is known: admin.enabled is false, or admin.listen has no fixed port";
  try {
    return { problem, ...adminAddresses(url, loadSections(sources, ["state", "admin"])) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { addresses: [], problem: error.problems[0] ?? problem };
  }
}

async function ask({ url, certificates }: AdminAddress, path: string, signal: AbortSignal) {
  try {
    const response = await fetch(url + path, { redirect: "manual", signal, ...trusting(certificates) });
    const answer = await readAnswer(response, maxAnswerBytes).catch((error: unknown) => {
      if (!(error instanceof BadAnswer)) throw error;
    });
    const status = isObject(answer) ? answer["status"] : undefined;
    if (typeof status !== "string") return { isHealthy: false, text: `${url} is not an admin listener` };
    const reasons = isObject(answer) && Array.isArray(answer["reasons"]) ? `: ${answer["reasons"].join("; ")}` : "";
    return { isHealthy: response.ok, text: `${status}${reasons} (${url})` };
  } catch (error) {
    return { isHealthy: false, text: connectionError(error, new URL(url).host) };
  }
}
