/** The admin listener with several tailnets, and with one that another instance leads. */
import { afterEach, expect, test } from "bun:test";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import type { AdminTailnet } from "../../src/admin/routes.ts";
import { adminWith, followed } from "../support/admin.ts";

const leader = "this instance does not lead: ask host-a at http://192.0.2.1:9091";

let admin: Admin;
afterEach(() => admin.stop(0));

async function start(...tailnets: readonly [AdminTailnet, ...AdminTailnet[]]): Promise<string> {
  admin = createAdmin({ listen: "127.0.0.1:0", token: "" }, { ...adminWith(), tailnets });
  await admin.start();
  return `http://127.0.0.1:${admin.port}`;
}

/** A tailnet that this instance leads, identified by its number of entries. */
function led(name: string, entries: number): AdminTailnet {
  const [tailnet] = adminWith({ name, status: () => ({ entries }) }).tailnets;
  return tailnet;
}

async function ask(url: string): Promise<{ readonly status: number; readonly answer: Record<string, unknown> }> {
  const response = await fetch(url);
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

test("shows the tailnet that a request names, or else the first one", async () => {
  const url = await start(led("one", 1), led("two", 2));
  const tailnets = ["one", "two"];
  expect((await ask(`${url}/api/v1/status`)).answer).toMatchObject({ entries: 1, name: "one", tailnets });
  expect((await ask(`${url}/api/v1/status?tailnet=two`)).answer).toMatchObject({ entries: 2, name: "two", tailnets });
});

test("answers 404 to an unknown tailnet, with the names that exist", async () => {
  const url = await start(led("one", 1), led("two", 2));
  for (const path of ["status", "events", "live", "quarantine"])
    expect(await ask(`${url}/api/v1/${path}?tailnet=three`)).toEqual({
      status: 404,
      answer: { text: 'there is no tailnet "three"; there are: one, two' },
    });
  await admin.stop(0);
  const alone = await start(led("", 1));
  expect((await ask(`${alone}/api/v1/status?tailnet=three`)).answer).toEqual({
    text: 'there is no tailnet "three"; there is one, without a name',
  });
});

test("is ready while one of several tailnets accepts records, with each reason prefixed by the tailnet's name", async () => {
  let notReady: readonly string[] = [];
  const [one] = adminWith({ name: "one", health: () => ({ ...led("", 0).health(), notReady }) }).tailnets;
  const [full] = adminWith({
    name: "two",
    health: () => ({ ...led("", 0).health(), notReady: ["the journal is full"] }),
  }).tailnets;
  const url = await start(one, full);
  const reasons = ["two: the journal is full"];
  const remedies = [expect.stringContaining("raise state.max_bytes")];
  expect(await ask(`${url}/readyz`)).toEqual({ status: 200, answer: { status: "degraded", reasons } });
  expect((await ask(`${url}/readyz?verbose`)).answer).toEqual({ status: "degraded", reasons, remedies });
  notReady = ["the program is stopping"];
  expect(await ask(`${url}/readyz`)).toEqual({
    status: 503,
    answer: { status: "not ready", reasons: ["one: the program is stopping", ...reasons] },
  });
});

test("answers 503 with the leader's address to requests that only the leader can answer", async () => {
  const url = await start(followed("", leader));
  const paths = ["live", "overview", "events", "traffic", "traffic/recent", "map", "quarantine", "replay"];
  for (const path of paths)
    expect([path, await ask(`${url}/api/v1/${path}`)]).toEqual([path, { status: 503, answer: { text: leader } }]);
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/api/v1/replay`, { method: "POST", headers, body: '{"since":1}' });
  expect([response.status, await response.json()]).toEqual([503, { text: leader }]);
});

test("answers healthz, readyz, status and metrics as a follower", async () => {
  const url = await start(followed("", leader));
  for (const path of ["healthz", "readyz", "metrics", "api/v1/status"])
    expect([path, (await fetch(`${url}/${path}`)).status]).toEqual([path, 200]);
});
