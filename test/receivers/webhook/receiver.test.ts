/** The receiver with the real pipeline and a real journal: replayed deliveries and the rotation of secrets. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signedAt, startWebhookServer, webhookEvent, type WebhookServer } from "../../support/webhook-server.ts";
import { configAt, openStore, type Store } from "../../support/store.ts";

const hourMs = 3_600_000;

let parent: string;
let now: number;
let store: Store;
let server: WebhookServer;

async function open(): Promise<void> {
  store = await openStore(configAt(join(parent, "state")), () => now);
  server = await startWebhookServer({ late_retry_window: 25 * hourMs }, { pipeline: store.pipeline });
  setNow(now);
}

async function restart(): Promise<void> {
  await server[Symbol.asyncDispose]();
  store.close();
  await open();
}

function setNow(at: number): void {
  now = at;
  server.now = at;
  store.journal.maintain();
  server.forgottenUntil = store.journal.horizon("webhook").until;
}

beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), "webhook-receiver-"));
  now = Date.UTC(2026, 10, 2, 9, 15);
  await open();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  store.close();
  rmSync(parent, { recursive: true, force: true });
});

const body = JSON.stringify([webhookEvent(1)]);
const statusOf = async (headers: Readonly<Record<string, string>>, text = body): Promise<number> =>
  (await server.post(text, headers)).status;

describe("a late delivery", () => {
  test("is accepted once; a replay is answered 200 and changes nothing, even after a restart", async () => {
    const late = signedAt(now / 1000 - 3600, body);
    expect(await statusOf(late)).toBe(200);
    expect(store.journal.pendingRecords).toBe(1);
    for (let round = 0; round < 2; round++) {
      expect(await statusOf(late)).toBe(200);
      expect(store.journal.pendingRecords).toBe(1);
      await restart();
    }
  });

  test("that was accepted in time stores nothing new, however late it is replayed", async () => {
    const began = now;
    const ahead = signedAt(began / 1000 + 300, body);
    expect(await statusOf(ahead)).toBe(200);
    const statuses: number[] = [];
    for (let minutes = 0; minutes <= 27 * 60; minutes += 30) {
      setNow(began + minutes * 60_000);
      statuses.push(await statusOf(ahead));
      expect(store.journal.pendingRecords).toBe(1);
    }
    expect(statuses.lastIndexOf(200)).toBe(2 * 25);
    expect(new Set(statuses.slice(51))).toEqual(new Set([401]));
  });

  test("is refused if its dedup key may already have been dropped", async () => {
    server.forgottenUntil = now - 1_800_000;
    // It may have been accepted five minutes before the time of its signature.
    for (const age of [3600, 1500]) expect(await statusOf(signedAt(now / 1000 - age, body))).toBe(401);
    expect(server.rejected).toEqual({ stale_timestamp: 2 });
    expect(await statusOf(signedAt(now / 1000 - 1499, body))).toBe(200);
  });
});

test("a hundred concurrent copies of a delivery are accepted once and all answered 200", async () => {
  const answers = await Promise.all(Array.from({ length: 100 }, () => server.post(body)));
  expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(200));
  expect(store.journal.pendingRecords).toBe(1);
});

test("a rotation refuses no delivery signed with the previous or the new secret", async () => {
  const secrets = ["tskey-webhook-0", "tskey-webhook-1", "tskey-webhook-2"];
  const [first = "", second = "", third = ""] = secrets;
  const steps = [
    [first, "", [200, 401, 401]],
    [second, first, [200, 200, 401]],
    [second, "", [401, 200, 401]],
    [third, second, [401, 200, 200]],
  ] as const;
  for (const [secret, previous, expected] of steps) {
    server.receiver.useSecrets(secret, previous);
    const statuses = secrets.map((known) => statusOf(signedAt(now / 1000, body, known)));
    expect(await Promise.all(statuses)).toEqual([...expected]);
  }
  server.receiver.useSecrets("", "");
  expect(await statusOf({})).toBe(200);
});

test("a delivery still being read when secrets change is verified with the new ones", async () => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const answer = server.post(readable as unknown as BodyInit, signedAt(now / 1000, body, "tskey-webhook-new"));
  await writer.write(new TextEncoder().encode(body.slice(0, 10)));
  server.receiver.useSecrets("tskey-webhook-new", "");
  await writer.write(new TextEncoder().encode(body.slice(10)));
  await writer.close();
  expect((await answer).status).toBe(200);
});
