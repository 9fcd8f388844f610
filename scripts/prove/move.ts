/** Moves a journal of 1 GiB to PostgreSQL, resuming once after a kill; the move itself compares both sides. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { programBinary } from "../../test/support/binary.ts";
import { startCluster } from "../../test/support/postgres/cluster.ts";
import { createState } from "../../test/journal/sqlite-state.ts";
import { appendOf, keyOf, mebibyte, partOf } from "../../test/journal/support.ts";

const wantedBytes = Number(process.argv[2] ?? 1024) * mebibyte;
const recordsPerPart = 75;

const cluster = await startCluster({ fsync: "on", settings: { shared_buffers: "256MB", max_wal_size: "1GB" } });
const state = createState();
state.now = Date.now();
try {
  const journal = state.open({ maxBytes: 4096 * mebibyte, maxKeys: 10_000_000 });
  let records = 0;
  // A body of random hexadecimal digits compresses to half its size.
  for (let bytes = 0; bytes < wantedBytes; bytes += recordsPerPart * 600) {
    const padding = randomBytes(600).toString("hex");
    const numbers = Array.from({ length: recordsPerPart }, () => records++);
    const keys = numbers.map((n) => keyOf(n));
    const part = partOf(numbers, { keys, padding, keysAt: state.now });
    const body = new Uint8Array(randomBytes(recordsPerPart * 600));
    await journal.append(appendOf([{ ...part, body }], { receivedAt: state.now }), () => undefined);
  }
  await journal.close();
  process.stdout.write(`a journal of ${records} records\n`);
  const environment = {
    PATH: process.env["PATH"],
    HOME: state.path,
    TS2OTEL_STATE__PATH: state.path,
    TS2OTEL_STATE__URL: await cluster.databaseUrl(),
  };
  const run = () => spawn(programBinary(), ["move"], { stdio: ["ignore", "inherit", "inherit"], env: environment });
  const killed = run();
  await Bun.sleep(3000);
  killed.kill("SIGKILL");
  await new Promise((resolve) => killed.once("exit", resolve));
  const begun = performance.now();
  const code = await new Promise((resolve) => run().once("exit", resolve));
  if (code !== 0) throw new Error(`move ended with ${String(code)}`);
  process.stdout.write(`ok  resumed and done in ${((performance.now() - begun) / 1000).toFixed(1)} s more\n`);
} finally {
  state.remove();
  await cluster.end();
}
