/** Rotating the webhook's secret while deliveries continue. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { signedAt, webhookEvent } from "../support/webhook-server.ts";
import { until } from "../support/wait.ts";
import { start, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();

function settings(secrets: string): void {
  const toml = `
[webhook]
enabled = true
listen = "127.0.0.1:0"
${secrets}
[admin]
enabled = false
[state]
path = ":memory:"
`;
  writeFileSync(join(directory, "tailscale2otel.toml"), toml, { mode: 0o600 });
}

test("refuses no delivery", async () => {
  settings('secret = "tskey-webhook-a"');
  const program = start(directory, ["run"]);
  const { webhook } = JSON.parse(await program.line('"ready"')) as { webhook: string };
  let secret = "tskey-webhook-a";
  const over = new AbortController();
  const statuses: Record<string, Record<number, number>> = {};

  async function send(signedWith: string, serial: number): Promise<number> {
    const body = JSON.stringify([webhookEvent(serial)]);
    const headers = signedAt(Math.floor(Date.now() / 1000), body, signedWith);
    return (await fetch(`${webhook}/tailscale/webhook`, { method: "POST", headers, body })).status;
  }
  const sending = (async () => {
    for (let serial = 0; !over.signal.aborted; serial++) {
      const used = secret;
      const counts = (statuses[used] ??= {});
      const status = await send(used, serial);
      counts[status] = (counts[status] ?? 0) + 1;
    }
  })();
  const sent = async (signedWith: string): Promise<void> => {
    const before = statuses[signedWith]?.[200] ?? 0;
    await until(() => (statuses[signedWith]?.[200] ?? 0) >= before + 20);
  };
  const reloaded = async (accepted: string): Promise<void> => {
    program.process.kill("SIGHUP");
    await until(async () => (await send(accepted, 1_000_000)) === 200);
  };

  await sent("tskey-webhook-a");
  // Rotating at Tailscale returns the new secret at once, so it is set here while Tailscale still uses the old one.
  settings('secret = "tskey-webhook-b"\nsecret_previous = "tskey-webhook-a"');
  await reloaded("tskey-webhook-b");
  await sent("tskey-webhook-a");
  secret = "tskey-webhook-b";
  await sent("tskey-webhook-b");
  settings('secret = "tskey-webhook-b"');
  program.process.kill("SIGHUP");
  await until(async () => (await send("tskey-webhook-a", 1_000_001)) === 401);
  await sent("tskey-webhook-b");
  over.abort();
  await sending;
  expect(Object.values(statuses).map((counts) => Object.keys(counts))).toEqual([["200"], ["200"]]);
  program.process.kill("SIGTERM");
  expect((await program.ended).code).toBe(0);
}, 120_000);
