/** Tests hostile connections against the compiled program: a healthy sender is not affected, and all of them are closed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { createLoad } from "../../scripts/bench/bodies.ts";
import { hecAnswers } from "../../src/receivers/hec/protocol.ts";
import { conservationAt } from "../support/admin.ts";
import { type AttackedProgram, startAttackedProgram } from "../support/attacked-program.ts";
import { canMeasureMemory } from "../support/peak-memory.ts";
import { head, sendRaw } from "../support/raw-http.ts";
import { longTimeoutMs as timeoutMs, until } from "../support/wait.ts";

const path = "/services/collector/event";
const authorized = { authorization: "Splunk test-token" };
/** The responses alone would take some gigabytes if they were buffered. */
const maxPeakBytes = 1e9;

let attacked: AttackedProgram;
let descriptorsBefore = 0;
/** Gives each run of the healthy sender its own records. */
let day = 0;

beforeAll(async () => {
  attacked = await startAttackedProgram("hostile connections");
  descriptorsBefore = attacked.descriptors;
}, timeoutMs);

afterAll(async () => {
  expect(attacked.program.output()).not.toContain("failed inside this program");
  expect(await attacked.stop()).toBe(0);
}, timeoutMs);

interface Client {
  readonly socket: Socket;
  readonly opened: Promise<void>;
  /** Resolves with the received data when the server has closed the connection. */
  readonly closed: Promise<string>;
}

function open(text = ""): Client {
  const socket = connect(attacked.port, "127.0.0.1").on("error", () => {});
  const opened = new Promise<void>((resolve) => socket.on("connect", () => resolve()));
  let received = "";
  socket.on("data", (data) => (received += data.toString("latin1")));
  const closed = new Promise<string>((resolve) => socket.on("close", () => resolve(received)));
  if (text !== "") socket.write(text);
  return { socket, opened, closed };
}

const many = (count: number, text?: string): Client[] => Array.from({ length: count }, () => open(text));

/** Sends requests without ever reading a response, until the server closes the connection or stops reading. */
async function neverRead(): Promise<void> {
  const socket = connect(attacked.port, "127.0.0.1").on("error", () => {});
  socket.pause();
  const requests = head("GET", "/services/collector/health", {}).repeat(1000);
  const closed = new Promise<"closed">((resolve) => socket.on("close", () => resolve("closed")));
  for (let sent = 0; sent < 1000 && !socket.destroyed; sent++) {
    if (socket.write(requests)) continue;
    const drained = new Promise<"drained">((resolve) => socket.once("drain", () => resolve("drained")));
    if ((await Promise.race([drained, closed, wait(20_000, "blocked" as const)])) !== "drained") break;
  }
  socket.destroy();
}

/** Sends real bodies one after the other; returns the response times in milliseconds, in ascending order. */
async function healthySender(requests: number): Promise<number[]> {
  const load = createLoad("stream", requests, Date.UTC(2026, 9, ++day));
  const times: number[] = [];
  for (let request = 0; request < requests; request++) {
    const body = load.envelopes(request).join("");
    const beganMs = performance.now();
    const answer = await attacked.post(body);
    times.push(performance.now() - beganMs);
    expect(answer).toEqual({ status: 200, body: { text: "Success", code: 0 } });
  }
  return times.toSorted((a, b) => a - b);
}

const at = (times: readonly number[], share: number): string =>
  `${(times[Math.floor(times.length * share)] ?? 0).toFixed(1)} ms`;

/** Resolves immediately if descriptors cannot be counted. */
async function untilDescriptors(are: (count: number) => boolean): Promise<void> {
  if (!canMeasureMemory) return;
  await until(() => are(attacked.descriptors));
}

const descriptorsAreFree = (): Promise<void> => untilDescriptors((count) => count <= descriptorsBefore + 20);

test(
  "1,000 idle, 200 dripping and 20 with slow headers do not disturb a sender, and are ended",
  async () => {
    const { result: quiet } = await attacked.measure("300 bodies of 73 records alone", () => healthySender(300));
    const idle = many(1000);
    const dripping = many(200, head("POST", path, { ...authorized, "content-length": 100_000 }));
    const slowHeads = many(20, `POST ${path} HTTP/1.1\r\nhost: x\r\nx-header: `);
    await Promise.all([...idle, ...dripping, ...slowHeads].map(({ opened }) => opened));
    const drip = setInterval(() => {
      for (const { socket } of [...dripping, ...slowHeads]) socket.write("x");
    }, 200);
    const first = Promise.race([healthySender(1), ...dripping.map(({ closed }) => closed)]);
    expect(await first, "the first answer, before a bad connection was ended").toBeArray();
    const { result } = await attacked.measure("300 bodies of 73 records meanwhile", () => healthySender(300));
    attacked.note("a healthy sender alone", `p50 ${at(quiet, 0.5)}, p99 ${at(quiet, 0.99)}`);
    attacked.note("the same with 1,220 bad connections", `p50 ${at(result, 0.5)}, p99 ${at(result, 0.99)}`);
    expect(result).toHaveLength(300);

    const { status, text, code } = hecAnswers.timeout;
    // A client that writes while the server closes can lose the response to a reset.
    const answers = (await Promise.all(dripping.map(({ closed }) => closed))).filter((answer) => answer !== "");
    expect(answers).not.toEqual([]);
    for (const answer of answers) {
      expect(answer).toStartWith(`HTTP/1.1 ${status} `);
      expect(answer.toLowerCase()).toContain("\r\nconnection: close\r\n");
      expect(answer).toEndWith(JSON.stringify({ text, code }));
    }
    await Promise.all([...idle, ...slowHeads].map(({ closed }) => closed));
    clearInterval(drip);
    await descriptorsAreFree();
    await healthySender(1);
  },
  timeoutMs,
);

test(
  "20 clients that send requests and never read an answer cost little, and do not keep others from being answered",
  async () => {
    const { peak } = await attacked.measure("20 clients that never read", async () => {
      const silent = Array.from({ length: 20 }, neverRead);
      await healthySender(20);
      await Promise.all(silent);
    });
    expect(peak).toBeLessThan(maxPeakBytes);
    await descriptorsAreFree();
    await healthySender(1);
  },
  timeoutMs,
);

test(
  "2,000 connections at once are held, and given back",
  async () => {
    const clients = await attacked.measure("2,000 idle connections", async () => {
      const idle = many(2000);
      await Promise.all(idle.map(({ opened }) => opened));
      await healthySender(20);
      await untilDescriptors((count) => count > 2000);
      attacked.note("descriptors with 2,000 idle connections", String(attacked.descriptors));
      return idle;
    });
    for (const { socket } of clients.result) socket.destroy();
    await descriptorsAreFree();
    await healthySender(1);
  },
  timeoutMs,
);

test(
  "senders that close their side: what they sent whole is taken once, in the middle of a body nothing is",
  async () => {
    const body = attacked.goodBody();
    const whole = [head("POST", path, { ...authorized, "content-length": body.length }), body];
    const accepted = async () => (await conservationAt(attacked.program.admin)).accepted;
    const before = await accepted();
    // The listener closes a connection once the client has ended its side, so the response may come too late.
    const { status: ofWhole } = await sendRaw(attacked.port, whole, { endsAfter: true });
    expect([0, 200]).toContain(ofWhole);
    await until(async () => (await accepted()) > before);
    const torn = [head("POST", path, { ...authorized, "content-length": body.length + 1 }), body];
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => sendRaw(attacked.port, torn, { endsAfter: true, until: "closed" })),
    );
    for (const { status } of answers) expect([0, 408]).toContain(status);
    await descriptorsAreFree();
    expect(await accepted()).toBe(before + 1);
    await healthySender(1);
  },
  timeoutMs,
);
