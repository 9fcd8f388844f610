/** Tells the journal which further destinations of logs there are, and the operator what has changed. */
import type { Config } from "../config/schema.ts";
import type { DestinationRule, Journal, LogCursor } from "../journal/index.ts";
import type { Logger } from "../lib/logger.ts";
import type { RecordType } from "../records/types.ts";

export interface DestinationDeps {
  readonly journal: Pick<Journal, "destinations" | "useDestinations">;
  readonly logger: Logger;
  /** Delivery goes on there: what came before was given up. */
  readonly move: (name: string, cursor: LogCursor) => void;
}

/** One call at a time. */
export async function useDestinations(config: Config, { journal, logger, move }: DestinationDeps): Promise<void> {
  const known = new Set(journal.destinations.map(({ name }) => name));
  const rules = destinationRules(config);
  const moved = (destination: string, cursor: LogCursor): void => {
    const evicted = journal.destinations.find(({ name }) => name === destination)?.evicted;
    const message = "the oldest undelivered records of a destination were given up, since space is short";
    logger.warn(message, { destination, evicted });
    move(destination, cursor);
  };
  for (const { name: destination, pending: undelivered } of await journal.useDestinations(rules, moved)) {
    const message = "a destination is not configured any more: its position was deleted";
    logger[undelivered > 0 ? "warn" : "info"](message, { destination, undelivered });
  }
  for (const { name: destination } of rules)
    if (!known.has(destination))
      logger.info("new destination: its logs begin with the newest record; send earlier ones with replay", {
        destination,
      });
}

function destinationRules({ otlp }: Config): readonly DestinationRule[] {
  return otlp.also
    .filter(({ logs }) => logs.enabled)
    .map(({ name, types, required }) => ({ name, types: types as readonly RecordType[], isRequired: required }));
}
