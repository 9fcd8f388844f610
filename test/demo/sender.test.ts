/** The demo's sender: sends as Tailscale's log streaming does, and retries what was not accepted. */
import { afterEach, expect, test } from "bun:test";
import { zstdDecompressSync } from "node:zlib";
import { changesIn } from "../../src/demo/changes.ts";
import { visitsIn } from "../../src/demo/events.ts";
import { createStreamSender, createWebhookSender, noTotals } from "../../src/demo/sender.ts";
import { buildTailnet } from "../../src/demo/tailnet.ts";
import { bodyOf } from "../../src/demo/wire.ts";
import { isSigned, readSignature, type Signature, signatureHeader } from "../../src/receivers/webhook/signature.ts";

const tailnet = buildTailnet(1);
const changes = Array.from({ length: 20 }, (_, offset) => changesIn(tailnet, 358_720_000 + offset)).flat();

let server: ReturnType<typeof Bun.serve> | undefined;
afterEach(() => server?.stop(true));

interface Received {
  readonly authorization: string | null;
  readonly encoding: string | null;
  readonly text: string;
}

function receive(answer: (attempt: number) => Response): { readonly url: string; readonly received: Received[] } {
  const received: Received[] = [];
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      received.push({
        authorization: request.headers.get("authorization"),
        encoding: request.headers.get("content-encoding"),
        text: zstdDecompressSync(await request.bytes()).toString(),
      });
      return answer(received.length);
    },
  });
  return { url: `http://127.0.0.1:${server.port}/services/collector/event`, received };
}

function senderTo(url: string, signal = new AbortController().signal) {
  const totals = noTotals();
  return { totals, push: createStreamSender({ url, secret: "secret", clock: Date.now, signal, totals }) };
}

test("a body is concatenated envelopes, compressed with zstd and sent with the token", async () => {
  const { url, received } = receive(() => Response.json({ text: "Success", code: 0 }));
  const sender = senderTo(url);
  await sender.push(changes);
  expect(received).toEqual([{ authorization: "Splunk secret", encoding: "zstd", text: bodyOf(changes) }]);
  expect(received[0]?.text).toContain("}{");
  expect(sender.totals).toMatchObject({ requests: 1, records: changes.length, retries: 0 });
});

test("a refused body is sent again in full until it is accepted", async () => {
  const answers = [
    new Response("", { status: 503, headers: { "retry-after": "0" } }),
    new Response("", { status: 500, headers: { "retry-after": "0" } }),
    Response.json({ code: 0 }),
  ];
  const { url, received } = receive((attempt) => answers[attempt - 1] ?? new Response("", { status: 400 }));
  const sender = senderTo(url);
  await sender.push(changes);
  expect(received.map(({ text }) => text)).toEqual([bodyOf(changes), bodyOf(changes), bodyOf(changes)]);
  expect(sender.totals).toMatchObject({ requests: 1, records: changes.length, retries: 2 });
});

test("a delivery is an array of events, signed anew for each attempt", async () => {
  const secret = "tskey-webhook-demo";
  const events = visitsIn(tailnet, 358_720_000).flat();
  const attempts: { readonly signature: string; readonly body: Uint8Array }[] = [];
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      attempts.push({ signature: request.headers.get(signatureHeader) ?? "", body: await request.bytes() });
      return new Response("", { status: attempts.length === 1 ? 503 : 200, headers: { "retry-after": "0" } });
    },
  });
  let now = 1_793_610_908_125;
  const totals = noTotals();
  const push = createWebhookSender({
    url: `http://127.0.0.1:${server.port}/tailscale/webhook`,
    secret,
    clock: () => (now += 1000),
    signal: new AbortController().signal,
    totals,
  });
  await push(events);
  expect(attempts.map(({ body }) => JSON.parse(new TextDecoder().decode(body)) as unknown)).toEqual([events, events]);
  const signatures = attempts.map(({ signature }) => readSignature(signature) as Signature);
  signatures.forEach((signature, place) =>
    expect(isSigned(signature, [attempts[place]?.body ?? new Uint8Array()], secret)).toBe(true),
  );
  expect(new Set(signatures.map(({ seconds }) => seconds)).size).toBe(2);
  expect(totals).toMatchObject({ requests: 1, records: events.length, retries: 1 });
});

test("the signal ends the wait for the next attempt", async () => {
  const stop = new AbortController();
  const { url } = receive(() => {
    setTimeout(() => stop.abort(), 10);
    return new Response("", { status: 503, headers: { "retry-after": "3600" } });
  });
  const sender = senderTo(url, stop.signal);
  await expect(sender.push(changes)).rejects.toMatchObject({ name: "AbortError" });
  expect(sender.totals.requests).toBe(0);
});
