/** `--tailnet`: which of several tailnets a command is about. */
import { type Config, type TailnetConfig, tailnetConfigs } from "../config/index.ts";
import { option, UsageError } from "./flags.ts";

export const tailnetFlag = {
  tailnet: option("name", "A tailnet of [[tailnet]]. (Default: the only one)"),
} as const;

/** @throws {UsageError} with the names if there are several and none of them is given, or if the given one is none of them. */
export function chosenTailnet(config: Config, given: string | undefined): TailnetConfig {
  const all = tailnetConfigs(config);
  const names = config.tailnet.map(({ name }) => name).join(", ");
  if (given === undefined) {
    if (all.length === 1) return all[0];
    throw new UsageError(`there are several tailnets: choose one with --tailnet (${names})`);
  }
  if (names === "") throw new UsageError("there is one tailnet, without a [[tailnet]] section: leave --tailnet out");
  const chosen = all.find(({ name }) => name === given);
  if (chosen !== undefined) return chosen;
  throw new UsageError(`there is no tailnet ${JSON.stringify(given)}; there are: ${names}`);
}
