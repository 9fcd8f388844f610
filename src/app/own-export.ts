/**
 * What an instance that shares its journal exports about itself, leading or not: its own metrics and log lines, under its own
 * `service.instance.id`. The leader exports the tailnet's counters, under the id of the journal.
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
    // No state outlives the process.
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
    /** Makes the last export, by the deadline. */
    async stop(deadlineMs: number): Promise<void> {
      clearInterval(timer);
      await exporter.folded(now());
      await exporter.stop(deadlineMs);
    },
  };
}

/** The settings of the leader's export, without its log lines, which every instance exports itself. */
export function withoutOwnLines(config: Config): Config {
  return { ...config, self_observability: { ...config.self_observability, logs: false } };
}
