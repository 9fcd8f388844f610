/** A process that exports to standard output: three log events of one row, one fold of metrics, then it ends. `argv[2]` is the journal. */
import { isMainThread } from "node:worker_threads";
import { createExporter } from "../../src/export/index.ts";
import { startExportWorker } from "../../src/export/worker.ts";
import { startOfJournal } from "../../src/journal/types.ts";
import { silentLogger } from "../../src/lib/logger.ts";

if (isMainThread) await run();
else startExportWorker();

async function run(): Promise<void> {
  const signalOptions = { endpoint: "", headers: {} };
  const exporter = createExporter(
    {
      ...signalOptions,
      logs: signalOptions,
      metrics: signalOptions,
      compression: "gzip",
      timeoutMs: 5e3,
      userAgent: "",
      protocol: "stdout",
      protocolIsSet: true,
      metricsEnabled: true,
      selfMetrics: true,
      selfLogs: true,
      version: "1.2.3",
      delivery: {
        enabled: true,
        maxRecords: 2,
        maxBytes: 4194304,
        concurrency: 2,
      },
      processors: { flowLogMode: "per_connection", collapseExternal: true, tailnet: "example.com", uidKey: undefined },
      resource: {
        instanceId: "instance-1",
        hostName: "host.example.com",
        platform: "linux",
        attributes: {},
      },
    },
    {
      entry: new URL(import.meta.url),
      databasePath: process.argv[2] ?? "",
      ledger: () => undefined,
      fetch,
      clock: Date.now,
      random: Math.random,
      logger: silentLogger,
      onProgress() {},
      onStdoutClosed() {
        process.stderr.write("closed\n");
        process.exit(3);
      },
    },
  );
  exporter.selfLog.info("hello");
  exporter.start({ cursor: startOfJournal, committedSeq: 1 });
  exporter.telemetry.add("tailscale.stream.rejected", 1, { reason: "auth" });
  await exporter.folded();
  await exporter.stop(5_000);
  process.exit(0);
}
