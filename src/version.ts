/** The version, commit and date of this build. */

declare const TS2OTEL_VERSION: string | undefined;
declare const TS2OTEL_COMMIT: string | undefined;
declare const TS2OTEL_BUILD_DATE: string | undefined;

export interface Build {
  readonly version: string;
  /** Empty when run from source. */
  readonly commit: string;
  /** RFC 3339; empty when run from source. */
  readonly date: string;
}

/** The values that the build sets by `--define`, or those of a run from source. */
export const build: Build = {
  version: typeof TS2OTEL_VERSION === "string" ? TS2OTEL_VERSION : "0.1.0-dev",
  commit: typeof TS2OTEL_COMMIT === "string" ? TS2OTEL_COMMIT : "",
  date: typeof TS2OTEL_BUILD_DATE === "string" ? TS2OTEL_BUILD_DATE : "",
};
