/** The entry point: the command line in the main thread, the export worker in any other. Each thread loads only its own part. */
import process from "node:process";
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  const { runCli } = await import("./cli/index.ts");
  process.exit(await runCli(new URL(import.meta.url)));
} else {
  const { startExportWorker } = await import("./export/worker.ts");
  startExportWorker();
}
