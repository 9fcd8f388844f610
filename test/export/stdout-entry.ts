/**
 * A process that exports a journal to standard output: all of its rows, one fold of metrics and a log line; then it ends.
 * `argv[2]` is the state directory, `argv[3]` how long its stop may take.
 */
import { isMainThread } from "node:worker_threads";
import { silentLogger } from "../../src/lib/logger.ts";
import { createExporter, instrumentsOf } from "../../src/export/index.ts";
import { startExportWorker } from "../../src/export/worker.ts";
import { configAt, openStore } from "../support/store.ts";

if (isMainThread) await run();
else startExportWorker();

async function run(): Promise<void> {
  const set = ["otlp.protocol=stdout", "self_observability.logs=true", "otlp.logs.max_records=2"];
  const store = await openStore(configAt(process.argv[2] ?? "", set));
  const { config, settings, journal, ledger } = store;
  const { cursor, lastSeq, pendingRecords } = journal;
  const context = { settings, location: journal.location, instanceId: "instance-1", version: "1.2.3" };
  const instruments = instrumentsOf(config, context);
  const { telemetry } = instruments;
  const exporter = createExporter(config, context, {
    journal,
    instruments,
    telemetry,
    entry: new URL(import.meta.url),
    clock: Date.now,
    random: Math.random,
    logger: silentLogger,
    shown: () => ledger.shown,
    onProgress: (progress) => journal.progress(progress),
    onRedelivered() {},
    onPoints() {},
    onDamage() {},
    onStdoutClosed() {
      process.stderr.write("closed\n");
      process.exit(3);
    },
  });
  exporter.start({ cursor, committedSeq: lastSeq, pendingRecords });
  exporter.selfLog.info("hello");
  telemetry.add("tailscale.stream.rejected", 1, { reason: "auth" });
  const stopMs = Number(process.argv[3]);
  await exporter.stopLogs(stopMs);
  await exporter.folded(await ledger.fold(Date.now()));
  await exporter.stop(stopMs);
  process.stderr.write(`delivered ${journal.cursor.records.delivered} pending ${journal.pendingRecords}\n`);
  store.close();
  process.exit(0);
}
