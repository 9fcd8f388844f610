/** The errors shared across folders. Each says who must act: the operator, the sender, or nobody yet. */

/** The configuration is invalid. `problems` are complete lines for a person, one per problem. Exit code 78. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(readonly problems: readonly string[]) {
    super(problems.join("\n"));
  }
}

/** Why a request is refused as a whole. */
export type RefusalReason =
  "body_too_large" | "overloaded" | "shutting_down" | "timeout" | "too_large" | "unparsable" | "unsupported_encoding";

/** A request is rejected as a whole. The receiver turns it into the answer of its protocol. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** The 0-based position of the damaged top-level value, if the protocol reports one. */
  readonly valueIndex: number | undefined;
  constructor(
    readonly reason: RefusalReason,
    message: string,
    options: { valueIndex?: number } = {},
  ) {
    super(message);
    this.valueIndex = options.valueIndex;
  }
}

/** The result of `parse`. @throws {Refusal} `unparsable` with `problem` if it throws: its own message may quote secrets. */
export function orUnparsable<Value>(problem: string, parse: () => Value): Value {
  try {
    return parse();
  } catch {
    throw new Refusal("unparsable", problem);
  }
}

/** Nothing is wrong with the input, but it cannot be accepted now: the sender should retry later. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
  constructor(
    message: string,
    readonly retryAfterSeconds: number = 5,
  ) {
    super(message);
  }
}
