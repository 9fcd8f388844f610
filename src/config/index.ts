/** Settings: one definition of each, and everything that is derived from it. */

export {
  type ConfigSources,
  findConfigFile,
  inspectConfig,
  type Inspection,
  inspectTyped,
  loadConfig,
  type Loaded,
} from "./load.ts";
export { type CollectedLog, collectedLogs, hasCredentials, isPolled, readsDevices, usesOauth } from "./api-use.ts";
export type { Config } from "./schema.ts";
export type { System } from "./state-directory.ts";
export {
  describeOrigin,
  describeProblem,
  describeWarning,
  type Origin,
  type Problem,
  type Warning,
} from "./diagnosis.ts";
export { displayUrl, redacted } from "./display.ts";
export { changedKeys, type EffectiveRow, effectiveRows } from "./effective.ts";
export { configJsonSchema, type JsonSchema } from "./json-schema.ts";
export { isLoopback, type ListenAddress, parseListen } from "./listen.ts";
export { exampleFile, referencePage } from "./reference.ts";
export { inspectReload, mergeReload, secretFilesOf } from "./reload.ts";
export { subscriptionsOf, subscriptionTypes } from "./subscriptions.ts";
