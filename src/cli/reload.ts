/** Reads the configuration again, on SIGHUP and when the file of a secret changes, and hands on what may change while the program runs. */
import type { App } from "../app.ts";
import {
  type ConfigSources,
  describeProblem,
  describeWarning,
  inspectConfig,
  keysThatWait,
  type Loaded,
  secretFilesOf,
} from "../config/index.ts";
import { createFileWatch } from "../lib/file-watch.ts";
import type { Log } from "../lib/log.ts";

export interface Reload {
  /** The app runs: reads again if that was asked for in the meantime. */
  begin(): void;
  /** Reads everything again. Before `begin` it is remembered. */
  ask(reason: string): void;
  stop(): void;
}

const watchMs = 1000;

export function createReload(
  started: Loaded,
  sources: ConfigSources,
  { app, log }: { readonly app: Pick<App, "reload">; readonly log: Log },
): Reload {
  const knownWarnings = new Set(started.warnings.map(describeWarning));
  const watch = createFileWatch(watchMs, () => ask("the file of a secret or certificate has changed"));
  const begun = Promise.withResolvers<void>();
  let files = secretFilesOf(started);
  let isAsked = false;
  let last = watch.watch(files).then(() => begun.promise);

  function ask(reason: string): void {
    if (isAsked) return;
    isAsked = true;
    last = last.then(() => readAgain(reason)).catch(fail);
  }

  async function readAgain(reason: string): Promise<void> {
    isAsked = false;
    await watch.watch(files);
    const inspection = inspectConfig(sources);
    const { config, problems, warnings } = inspection;
    if (problems.length > 0) {
      for (const problem of problems) log.error(`not reloaded: ${describeProblem(problem)}`);
      return;
    }
    for (const line of warnings.map(describeWarning)) {
      if (!knownWarnings.has(line)) log.warn(line);
      knownWarnings.add(line);
    }
    log.info("configuration read again", { reason, log_level: config.log_level });
    const waiting = keysThatWait(started.config, config);
    if (waiting.length > 0) log.warn(`these settings have changed and need a restart: ${waiting.join(", ")}`);
    log.setLevel(config.log_level);
    await app.reload(config);
    const next = secretFilesOf(inspection);
    if (next.join("\n") === files.join("\n")) return;
    files = next;
    await watch.watch(files);
  }

  function fail(error: unknown): void {
    log.error(`not reloaded: ${error instanceof Error ? error.message : String(error)}`);
  }

  return { begin: begun.resolve, ask, stop: watch.stop };
}
