/** What `main.ts` does in a worker thread. */
import { startExportWorker } from "../../src/export/worker.ts";

startExportWorker();
