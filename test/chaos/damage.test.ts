/**
 * Tests that the compiled program reports a database damaged while it runs and exits, and that the next start salvages it and
 * continues.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { conservationAt } from "../support/admin.ts";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { type ProgramOptions, type RunningProgram, startProgram } from "../support/running-program.ts";
import { Account } from "./account.ts";
import { expectAllArrived, sendNext } from "./senders.ts";
import { streamTraffic, type TrafficSource } from "./traffic.ts";
import { timeoutMs, until } from "../support/wait.ts";

let directory: string;
let sink: OtlpSink;
let program: RunningProgram | undefined;
let options: ProgramOptions;
let account: Account;
let source: TrafficSource;
let isDown: boolean;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "damage-test-"));
  sink = await startOtlpSink({ forgets: true });
  account = new Account();
  isDown = false;
  sink.behave((request) => {
    for (const log of request.logs) account.arrived(log, !isDown);
    return isDown ? { kind: "status", status: 503 } : { kind: "take" };
  });
  const settings = { TS2OTEL_OTLP__METRIC_INTERVAL: "500ms" };
  const port = await freePort();
  options = { command: [programBinary()], directory, endpoint: sink.url, encoding: "json", port, settings };
  source = streamTraffic(1, "test-token", { hasPoison: false });
});

afterEach(async () => {
  await program?.kill();
  await sink.stop();
  rmSync(directory, { recursive: true });
});

const databasePath = (): string => join(directory, "state/journal.db");

/** The response status; 0 without a response. */
const send = async ({ url }: RunningProgram): Promise<number> => (await sendNext(url, source, account)).status;

/** Sends until a checkpoint has moved rows from the write-ahead log into the database file. */
async function fill(to: RunningProgram): Promise<void> {
  const bytes = () => statSync(databasePath(), { throwIfNoEntry: false })?.size ?? 0;
  while (bytes() < 2_000_000) expect(await send(to)).toBe(200);
}

/** The response statuses until the program is gone. */
async function sendToTheEnd(to: RunningProgram): Promise<Set<number>> {
  const answers = new Set<number>();
  await until(async () => answers.add(await send(to)).has(0));
  return answers;
}

function change(act: (file: number, bytes: number) => void): void {
  const file = openSync(databasePath(), "r+");
  act(file, statSync(databasePath()).size);
  fsyncSync(file);
  closeSync(file);
}

const page = 4096;

const damages = {
  overwritten: () =>
    change((file, bytes) => void writeSync(file, Buffer.alloc(bytes - page, 0xa5), 0, bytes - page, page)),
  "cut short": () => change((file, bytes) => ftruncateSync(file, Math.floor(bytes / 3))),
  emptied: () => change((file) => ftruncateSync(file, 0)),
} as const;

test.each(Object.entries(damages))(
  "ends with code 1 when it has to read from a database that is %s, and the next start continues with what is left",
  async (_, damage) => {
    const first = (program = await startProgram(options));
    isDown = true;
    await fill(first);
    damage();
    isDown = false;
    expect([...(await sendToTheEnd(first))].filter((status) => ![0, 200, 503].includes(status))).toEqual([]);
    expect(await first.stop()).toBe(1);
    expect(first.output().match(/the journal is damaged|another process changed the journal's files/g)).toHaveLength(1);
    // Stopping may take two seconds, in which a busy machine does not get everything done.
    expect(first.output()).toMatch(/"stopped"|did not stop within 2 s; everything accepted is in the journal/);

    const second = (program = await startProgram(options));
    expect(second.output()).toContain("the journal was damaged");
    expect(readdirSync(join(directory, "state")).some((name) => name.startsWith("damaged-"))).toBe(true);
    for (let time = 0; time < 20; time++) expect(await send(second)).toBe(200);
    await until(async () => (await conservationAt(second.admin)).pending === 0);
    const { received, accepted, duplicate, skipped, quarantined, ...sums } = await conservationAt(second.admin);
    expect(accepted + duplicate + skipped + quarantined).toBe(received);
    expect(sums.delivered + sums.deadLettered + sums.lost).toBe(accepted + sums.uncounted);
    expect(account.violations).toEqual([]);
    expect(await second.stop()).toBe(0);
  },
  timeoutMs,
);

/** Changes to the files after which everything can still be read through the open connection. */
const replacements = {
  "write-ahead log is deleted": () => unlinkSync(`${databasePath()}-wal`),
  "database is replaced by a copy": () => {
    renameSync(databasePath(), `${databasePath()}.kept`);
    copyFileSync(`${databasePath()}.kept`, databasePath());
  },
} as const;

test.each(Object.entries(replacements))(
  "ends with code 1 when its %s while it runs, and the next start has everything that was answered",
  async (_, replace) => {
    const first = (program = await startProgram(options));
    isDown = true;
    await fill(first);
    replace();
    expect([...(await sendToTheEnd(first))].filter((status) => ![0, 200, 503].includes(status))).toEqual([]);
    expect(await first.stop()).toBe(1);
    expect(first.output().match(/another process changed the journal's files/g)).toHaveLength(1);
    isDown = false;
    const second = (program = await startProgram(options));
    await expectAllArrived(second, account);
  },
  timeoutMs,
);
