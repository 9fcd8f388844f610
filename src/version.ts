/** Which build this is. */

declare const TS2OTEL_VERSION: string | undefined;
declare const TS2OTEL_COMMIT: string | undefined;
declare const TS2OTEL_BUILD_DATE: string | undefined;

export interface Build {
  readonly version: string;
  /** Empty where it runs from source. */
  readonly commit: string;
  /** RFC 3339; empty where it runs from source. */
  readonly date: string;
}

/** What the build put in by `--define`, else what a run from source is called. */
export const build: Build = {
  version: typeof TS2OTEL_VERSION === "string" ? TS2OTEL_VERSION : "0.1.0-dev",
  commit: typeof TS2OTEL_COMMIT === "string" ? TS2OTEL_COMMIT : "",
  date: typeof TS2OTEL_BUILD_DATE === "string" ? TS2OTEL_BUILD_DATE : "",
};
