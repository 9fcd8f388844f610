/** What `main.ts` does in a worker thread; the log line "die" kills it. */
import { parentPort } from "node:worker_threads";
import type { ToWorker } from "../../src/export/messages.ts";
import { startExportWorker } from "../../src/export/worker.ts";

startExportWorker();
parentPort?.on("message", (message: ToWorker) => {
  if (message.kind === "line" && message.message === "die") throw new Error("killed by the test");
});
