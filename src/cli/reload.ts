/** Reloads the configuration on SIGHUP and when a secret's file changes, and applies settings that need no restart. */
import type { App } from "../app/index.ts";
import { type ConfigSources, describeFinding, type Inspection } from "../config/index.ts";
import { appliedAfter, inspectReload, secretFilesOf } from "../config/reload.ts";
import { createFileWatch } from "../lib/file-watch.ts";
import type { Log } from "../lib/log.ts";
import { messageOf } from "../lib/system-error.ts";

type Reloading = Pick<App, "reload" | "refuseReload">;

const watchMs = 1000;

export function createReload(started: Inspection, sources: ConfigSources, log: Log) {
  const knownWarnings = new Set(started.warnings.map(describeFinding));
  const watch = createFileWatch(watchMs, () => ask("the file of a secret or certificate has changed"));
  const begun = Promise.withResolvers<Reloading>();
  let files = secretFilesOf(started);
  let running: Pick<Inspection, "config" | "origins"> = started;
  let isAsked = false;
  let isStopped = false;
  let last: Promise<unknown> = watch.watch(files);

  function ask(reason: string): void {
    if (isAsked) return;
    isAsked = true;
    last = last
      .then(() => begun.promise)
      .then((app) => readAgain(reason, app))
      .catch((error: unknown) => log.error(`not reloaded: ${messageOf(error)}`));
  }

  async function readAgain(reason: string, app: Reloading): Promise<void> {
    isAsked = false;
    await watch.watch(files);
    if (isStopped) return;
    const inspection = inspectReload(running.config, sources);
    const { config, problems, warnings, waiting } = inspection;
    // Without its file, another file or the defaults would apply.
    if (started.configFile !== undefined && inspection.configFile !== started.configFile) {
      log.error(`not reloaded: ${started.configFile}, which this instance was started with, no longer exists`);
      app.refuseReload();
      return;
    }
    if (problems.length > 0) {
      for (const problem of problems) {
        // A problem can include a line of the file, but a log message is a single line.
        const line = describeFinding(problem).replace(/\s*\n\s*/g, " ");
        log.error(`not reloaded; still using the previous configuration: ${line}`);
      }
      app.refuseReload();
      return;
    }
    for (const line of warnings.map(describeFinding)) {
      if (!knownWarnings.has(line)) log.warn(line);
      knownWarnings.add(line);
    }
    log.info("configuration reloaded", { reason, log_level: config.log_level });
    if (waiting.length > 0) log.warn(`restart to apply: ${waiting.join(", ")}`);
    log.setLevel(config.log_level);
    const applied = appliedAfter(running, inspection);
    running = applied;
    await app.reload(applied);
    const next = secretFilesOf(inspection);
    if (next.join("\n") === files.join("\n")) return;
    files = next;
    await watch.watch(files);
  }

  return {
    /** Called once the app runs; an earlier reload request is carried out now. */
    begin: (app: Reloading): void => begun.resolve(app),
    /** Reloads everything. Before `begin`, the request is remembered. */
    ask,
    /** Stops applying changes. */
    stop(): void {
      isStopped = true;
      watch.stop();
    },
  };
}
