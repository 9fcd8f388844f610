/** What an instance says of itself at its admin listener. */
import type { AdminDeps } from "../../src/admin/index.ts";
import type { Conservation } from "../../src/pipeline/observe.ts";

/** `path`: below `/api/v1/`. @throws {Error} unless the answer is a success. */
export async function askAdmin<Answer>(admin: string, path: string): Promise<Answer> {
  const response = await fetch(`${admin}/api/v1/${path}`);
  if (!response.ok) throw new Error(`/api/v1/${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Answer;
}

/** Records by what became of them. */
export async function conservationAt(admin: string): Promise<Conservation> {
  return (await askAdmin<{ conservation: Conservation }>(admin, "status")).conservation;
}

/** For tests that do not ask about traffic. */
export const noTraffic: AdminDeps["traffic"] = {
  series: () => Promise.reject(new Error("not asked for")),
  map: () => Promise.reject(new Error("not asked for")),
  recent: () => {
    throw new Error("not asked for");
  },
};
