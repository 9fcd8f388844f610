/**
 * What an instance that shares its journal exports about itself, whether it leads or not: its own metrics and log lines, under a
 * `service.instance.id` of its own. The counters of the tailnet are the leader's, under that of the journal.
 */
import type { Config } from "../config/index.ts";
import { createExporter, type ExportDeps } from "../export/index.ts";
import { startOfJournal } from "../journal/index.ts";

type ExportContext = Parameters<typeof createExporter>[1];

export type OwnExport = ReturnType<typeof startOwnExport>;

/** @throws what `createExporter` throws. */
export function startOwnExport(
  config: Config,
  context: ExportContext,
  deps: Pick<ExportDeps, "instruments" | "telemetry" | "entry" | "clock" | "random" | "logger" | "onStdoutClosed">,
) {
  const { otlp } = config;
  const withoutLogs = <Settings extends { readonly logs: { readonly enabled: boolean } }>(of: Settings): Settings => ({
    ...of,
    logs: { ...of.logs, enabled: false },
  });
  const own: Config = { ...config, otlp: { ...withoutLogs(otlp), also: otlp.also.map(withoutLogs) } };
  const now = () => ({ at: deps.clock(), since: undefined, metrics: [] });
  const exporter = createExporter(own, context, {
    ...deps,
    // Nothing of it outlives the process.
    journal: { readState: () => undefined, writeState() {} },
    shown: now,
    onProgress() {},
    onRedelivered() {},
    onPoints() {},
    onDamage() {},
  });
  exporter.start({ cursor: startOfJournal, committedSeq: 0, pendingRecords: 0 });
  const fold = (): void => void exporter.folded(now());
  const timer = setInterval(fold, otlp.metric_interval);
  return {
    selfLog: exporter.selfLog,
    get health() {
      return exporter.health;
    },
    useCredentials: exporter.useCredentials,
    /** The last export, by the deadline. */
    async stop(deadlineMs: number): Promise<void> {
      clearInterval(timer);
      await exporter.folded(now());
      await exporter.stop(deadlineMs);
    },
  };
}

/** The settings of what the leader exports besides: own log lines are those of an instance. */
export function withoutOwnLines(config: Config): Config {
  return { ...config, self_observability: { ...config.self_observability, logs: false } };
}
