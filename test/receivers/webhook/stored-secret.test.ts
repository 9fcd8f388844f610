/** A secret that is not in the settings: deliveries before it is known, its rotation, and which secret signed a delivery. */
import { describe, expect, test } from "bun:test";
import { signedAt, startWebhookServer, webhookEvent, webhookSecret } from "../../support/webhook-server.ts";

const body = JSON.stringify([webhookEvent()]);

test("answers 503 to every delivery, signed or not, until the secret is known", async () => {
  await using server = await startWebhookServer({ secret: "", auto_configure: true });
  for (const headers of [{}, signedAt(Math.floor(server.now / 1000), body)]) {
    const answer = await server.post(body, headers);
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("30");
    expect(await answer.json()).toEqual({ text: "The secret is not known yet" });
  }
  expect(server.rejected).toEqual({ unavailable: 2 });
  expect(server.pipeline.commits).toHaveLength(0);
  server.receiver.useSecrets(webhookSecret, "");
  expect((await server.post(body)).status).toBe(200);
  expect((await server.post(body, {})).status).toBe(401);
  server.receiver.useSecrets("", "");
  expect((await server.post(body)).status).toBe(503);
});

describe("the secret that signed a delivery is reported", () => {
  const former = "tskey-webhook-before";

  test("whichever of the two it is, and never for a refused delivery", async () => {
    const seen: string[] = [];
    const signedBy = (secret: string): void => void seen.push(secret);
    await using server = await startWebhookServer({ secret_previous: former }, { signedBy });
    const at = Math.floor(server.now / 1000);
    expect((await server.post(body, signedAt(at, body, former))).status).toBe(200);
    expect((await server.post(body, signedAt(at, body, webhookSecret))).status).toBe(200);
    expect((await server.post(body, signedAt(at, body, "another"))).status).toBe(401);
    expect((await server.post(body, signedAt(at - 3600, body, former))).status).toBe(401);
    expect((await server.post(body, {})).status).toBe(401);
    expect(seen).toEqual([former, webhookSecret]);
  });
});
