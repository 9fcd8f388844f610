/** Runs an instance of the compiled binary for browser tests, and sends it records. */
import { expect } from "bun:test";
import type { TrafficMap } from "../../../src/admin/traffic/index.ts";
import { askAdmin } from "../../support/admin.ts";
import { programBinary } from "../../support/binary.ts";
import { enveloped } from "../../support/records.ts";
import { type ProgramOptions, type RunningProgram, startProgram } from "../../support/running-program.ts";
import { sampleBody } from "../../support/sample-body.ts";
import { until } from "../../support/wait.ts";

type InstanceOptions = Pick<ProgramOptions, "directory"> & Partial<ProgramOptions>;

/** Starts an instance that exports nothing, unless the options say otherwise. */
export function startInstance(options: InstanceOptions): Promise<RunningProgram> {
  return startProgram({ command: [programBinary()], endpoint: "", encoding: "json", ...options });
}

/** Streams records in Tailscale's envelopes. */
export function send(program: RunningProgram, ...values: readonly object[]): Promise<void> {
  const body = values.map((value) => JSON.stringify(enveloped(value as never, Date.now() / 1000))).join("\n");
  return sendBody(program, body);
}

export async function sendBody({ url, token }: RunningProgram, body: string): Promise<void> {
  const answer = await fetch(url, { method: "POST", headers: { authorization: `Splunk ${token}` }, body });
  expect([answer.status, answer.status === 200 ? "" : await answer.text()]).toEqual([200, ""]);
}

/** Streams the sample records, and returns the map once it shows them. */
export async function sendSamples(program: RunningProgram): Promise<TrafficMap> {
  await sendBody(program, sampleBody);
  let map: TrafficMap | undefined;
  await until(async () => {
    map = await askAdmin<TrafficMap>(program.admin, "map");
    return map.pairs.length > 1;
  });
  return map as TrafficMap;
}
