/** Settings: one definition of each, and everything that is derived from it. */

export {
  describeOrigin,
  describeProblem,
  describeWarning,
  type EffectiveRow,
  effectiveRows,
  type Origin,
  type Problem,
  type Warning,
} from "./diagnosis.ts";
export { whyUnusablePair } from "./files.ts";
export {
  type ConfigSources,
  findConfigFile,
  inspectConfig,
  type Inspection,
  loadConfig,
  type Loaded,
  loadSections,
  type System,
} from "./load.ts";
export { inspectReload, mergeReload, secretFilesOf } from "./reload.ts";
export { defaultMaxBodyBytes, subscriptionsOf, subscriptionTypes, subscriptionWords } from "./schema-inputs.ts";
export {
  type CollectedLog,
  collectedLogs,
  type Config,
  hasCredentials,
  isPolled,
  readsDevices,
  usesOauth,
} from "./schema.ts";
export { displayUrl, redacted } from "./values.ts";
