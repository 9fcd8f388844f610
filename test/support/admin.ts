/** What an instance says of itself at its admin listener. */
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
