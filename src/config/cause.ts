/** One reason why settings that somebody set do nothing. */
import type { Config } from "./schema.ts";

export interface Cause {
  readonly holds: (config: Config) => boolean;
  /** Without a full stop. */
  readonly reason: string;
  readonly remedy: string;
  /** Keys, and sections with a dot at the end. */
  readonly keys: readonly string[];
  readonly except?: readonly string[];
}
