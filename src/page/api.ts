/** Requests to the instance that serves this page. */

/** An answer that is no success, in the instance's own words. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

export type Parameters = Readonly<Record<string, string | number | undefined>>;

/** @throws {ApiError} */
export async function get<Answer>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<Answer> {
  const given = Object.entries(parameters).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  );
  const query = new URLSearchParams(given).toString();
  return answerOf(await fetch(query === "" ? path : `${path}?${query}`, { ...(signal && { signal }) }));
}

/** @throws {ApiError} */
export async function post<Answer>(path: string, body: object): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  return answerOf(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function answerOf<Answer>(response: Response): Promise<Answer> {
  if (response.status === 204) return undefined as Answer;
  const answer = (await response.json().catch(() => ({ text: response.statusText }))) as { readonly text?: string };
  if (!response.ok) throw new ApiError(response.status, answer.text ?? response.statusText);
  return answer as Answer;
}
