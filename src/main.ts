/** The entry: the command line in the main thread, the export worker in any other. */
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { runCli } from "./cli/index.ts";
import { startExportWorker } from "./export/worker.ts";

if (isMainThread) process.exit(await runCli(new URL(import.meta.url)));
else startExportWorker();
