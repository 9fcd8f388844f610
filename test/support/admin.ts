/** Reads an instance's state from its admin listener. */
import type { AdminDeps } from "../../src/admin/index.ts";
import type { Operations } from "../../src/admin/operations.ts";
import type { AdminTailnet, Views } from "../../src/admin/routes.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import type { Conservation } from "../../src/pipeline/observe.ts";

/** `path`: relative to `/api/v1/`. @throws {Error} if the request fails. */
export async function askAdmin<Answer>(admin: string, path: string): Promise<Answer> {
  const response = await fetch(`${admin}/api/v1/${path}`);
  if (!response.ok) throw new Error(`/api/v1/${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Answer;
}

/** Record counts by outcome. */
export async function conservationAt(admin: string): Promise<Conservation> {
  return (await askAdmin<{ conservation: Conservation }>(admin, "status")).conservation;
}

type Parts = AdminTailnet & Views & Omit<AdminDeps, "tailnets">;

/** Dependencies of a listener of which a test uses only these parts; the others are healthy and unused. */
export function adminWith(parts: Partial<Parts> = {}): AdminDeps {
  const all: Parts = { ...wellParts, ...parts };
  return { ...all, tailnets: [{ ...all, leading: all }] };
}

/** A tailnet that another instance leads. */
export function followed(name: string, leader: string): AdminTailnet {
  return { ...wellParts, name, leader: () => leader };
}

export const noOperations: Operations = {
  list: notAsked,
  show: notAsked,
  retry: notAsked,
  purge: notAsked,
  replay: notAsked,
  cancel: notAsked,
  redeliveries: notAsked,
};

const wellParts: Parts = {
  name: "",
  health: () => ({
    notReady: [],
    export: { logs: { kind: "ok" }, metrics: { kind: "ok" } },
    polls: [],
    tailnet: [],
  }),
  scrape: async () => "",
  status: () => ({}),
  leading: undefined,
  leader: () => "",
  overview: notAsked,
  instance: notAsked,
  events: { read: notAsked, whole: notAsked },
  traffic: { series: notAsked, map: notAsked, recent: notAsked },
  live: { answer: notAsked, end() {}, close() {} },
  operations: noOperations,
  instanceFile: { write() {}, remove() {} },
  telemetry: silentTelemetry,
  logger: silentLogger,
  clock: Date.now,
};

function notAsked(): never {
  throw new Error("not asked for");
}
