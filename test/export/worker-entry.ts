/** What `main.ts` does in a worker thread; the log line "die" kills it. */
import { parentPort } from "node:worker_threads";
import type { Call } from "../../src/export/target.ts";
import { startExportWorker, type WorkerCalls } from "../../src/export/worker.ts";

startExportWorker();
parentPort?.on("message", (call: Call<WorkerCalls>) => {
  if (call[0] === "line" && call[2] === "die") throw new Error("killed by the test");
});
