/** The receiver before the real pipeline and a real journal: what a replay can do, and what a rotation of secrets refuses. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Journal } from "../../../src/journal/index.ts";
import type { JournalOptions } from "../../../src/journal/index.ts";
import { createPipeline } from "../../../src/pipeline/index.ts";
import { createState, hourMs, type TestState } from "../../support/journal.ts";
import { signedAt, startWebhookServer, webhookEvent, type WebhookServer } from "../../support/webhook-server.ts";

let state: TestState;
let journal: Journal;
let server: WebhookServer;

const hours26 = { windowMs: 26 * hourMs, maxKeys: 1000 };

async function open(webhook: JournalOptions["keyLimits"]["webhook"] = hours26): Promise<void> {
  const now = state.now;
  journal = state.open({ keyLimits: { flow: hours26, audit: hours26, webhook, quarantined: hours26 } });
  const pipeline = createPipeline(journal, { collapseExternal: true });
  server = await startWebhookServer({ lateRetryWindowMs: 25 * hourMs }, { pipeline });
  setNow(now);
}

async function restart(webhook = hours26): Promise<void> {
  await server[Symbol.asyncDispose]();
  journal.close();
  await open(webhook);
}

function setNow(now: number): void {
  state.now = now;
  server.now = now;
  journal.maintain();
  server.forgottenUntil = journal.forgotten("webhook").until;
}

beforeEach(async () => {
  state = createState();
  await open();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  state.remove();
});

const body = JSON.stringify([webhookEvent(1)]);
const statusOf = async (headers: Readonly<Record<string, string>>, text = body): Promise<number> =>
  (await server.post(text, headers)).status;

describe("a late delivery", () => {
  test("is taken once; a replay is answered 200 and changes nothing, after a restart too", async () => {
    const late = signedAt(state.now / 1000 - 3600, body);
    expect(await statusOf(late)).toBe(200);
    expect(journal.pendingRecords).toBe(1);
    for (let round = 0; round < 2; round++) {
      expect(await statusOf(late)).toBe(200);
      expect(journal.pendingRecords).toBe(1);
      await restart();
    }
  });

  test("that was taken in time cannot come again as news, at any time that it is let in", async () => {
    const began = state.now;
    const ahead = signedAt(began / 1000 + 300, body);
    expect(await statusOf(ahead)).toBe(200);
    const statuses: number[] = [];
    for (let minutes = 0; minutes <= 27 * 60; minutes += 30) {
      setNow(began + minutes * 60_000);
      statuses.push(await statusOf(ahead));
      expect(journal.pendingRecords).toBe(1);
    }
    expect(statuses.lastIndexOf(200)).toBe(2 * 25);
    expect(new Set(statuses.slice(51))).toEqual(new Set([401]));
  });

  test("is refused where the keys of its time have been forced out, after a restart too", async () => {
    await restart({ ...hours26, maxKeys: 5 });
    const began = state.now;
    const early = signedAt(began / 1000, body);
    expect(await statusOf(early)).toBe(200);
    for (let serial = 2; serial < 10; serial++) {
      setNow(began + serial * 60_000);
      const text = JSON.stringify([webhookEvent(serial)]);
      expect(await statusOf(signedAt(state.now / 1000, text), text)).toBe(200);
    }
    setNow(began + hourMs);
    expect(journal.keyCount("webhook")).toBe(5);
    for (let round = 0; round < 2; round++) {
      expect(await statusOf(early)).toBe(401);
      expect(server.rejected).toEqual({ stale_timestamp: 1 });
      expect(journal.pendingRecords).toBe(9);
      await restart({ ...hours26, maxKeys: 5 });
    }
    const unknown = JSON.stringify([webhookEvent(11)]);
    expect(await statusOf(signedAt(began / 1000 + 3000, unknown), unknown)).toBe(200);
  });
});

test("a hundred times the same delivery at once is taken once, and answered 200 each time", async () => {
  const answers = await Promise.all(Array.from({ length: 100 }, () => server.post(body)));
  expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(200));
  expect(journal.pendingRecords).toBe(1);
});

test("a rotation refuses no delivery that is signed with the secret before, or the one after", async () => {
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
    const statuses = secrets.map((known) => statusOf(signedAt(state.now / 1000, body, known)));
    expect(await Promise.all(statuses)).toEqual([...expected]);
  }
  server.receiver.useSecrets("", "");
  expect(await statusOf({})).toBe(200);
});

test("a delivery that is being read when secrets change is judged by the new ones", async () => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const answer = server.post(readable as unknown as BodyInit, signedAt(state.now / 1000, body, "tskey-webhook-new"));
  await writer.write(new TextEncoder().encode(body.slice(0, 10)));
  server.receiver.useSecrets("tskey-webhook-new", "");
  await writer.write(new TextEncoder().encode(body.slice(10)));
  await writer.close();
  expect((await answer).status).toBe(200);
});
