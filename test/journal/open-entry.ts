/** Opens the journal at a path in a process of its own, and says how that went. */
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { openJournal } from "../../src/journal/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";

const limit = { windowMs: 1, maxKeys: 1 };
const path = process.argv[2] ?? "";
try {
  openJournal(
    {
      path,
      maxBytes: 2 ** 26,
      ballastBytes: 0,
      retentionMs: 1,
      durability: "normal",
      keyLimits: { flow: limit, audit: limit, webhook: limit, quarantined: limit },
    },
    { telemetry: silentTelemetry, logger: silentLogger, clock: () => 0 },
  ).close();
  process.stdout.write("opened\n");
} catch (error) {
  process.stdout.write(`${String(error)}\n`);
}
