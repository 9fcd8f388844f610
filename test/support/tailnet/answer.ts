/** Requests and responses of the stand-in, and strict validation of their parameters and bodies. */

/** A request with its complete body. */
export interface ApiRequest {
  readonly method: string;
  /** Decoded segments of the path after `/api/v2/`. */
  readonly parts: readonly string[];
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface ApiAnswer {
  readonly status: number;
  /** Pieces of the body's text; absent for an empty body. */
  readonly body?: Iterable<string>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An error response, `{"message": …}` as the API's errors are. */
export class ApiRefusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export function json(value: unknown, status = 200): ApiAnswer {
  return { status, body: [JSON.stringify(value)], headers: { "content-type": "application/json" } };
}

export function refused({ status, message, headers }: ApiRefusal): ApiAnswer {
  const answer = json({ message }, status);
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

/** A JSON object with no members but these. @throws {ApiRefusal} 400 or 415 */
export function objectBody(
  { headers, body }: ApiRequest,
  members: readonly string[],
): Readonly<Record<string, unknown>> {
  const type = headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") throw new ApiRefusal(415, "the content type must be application/json");
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    throw new ApiRefusal(400, "the body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ApiRefusal(400, "the body is not a JSON object");
  }
  const unknown = Object.keys(value).find((member) => !members.includes(member));
  if (unknown !== undefined) throw new ApiRefusal(400, `unknown field "${unknown}"`);
  return value as Readonly<Record<string, unknown>>;
}

/** For calls without a body. @throws {ApiRefusal} 400 */
export function noBody({ body }: ApiRequest): void {
  if (body.length > 0) throw new ApiRefusal(400, "this call takes no body");
}

/** @throws {ApiRefusal} 400 for a parameter that is unknown or repeated. */
export function onlyQuery({ query }: ApiRequest, names: readonly string[]): void {
  const given = [...query.keys()];
  const wrong = given.find((name, at) => !names.includes(name) || given.indexOf(name) !== at);
  if (wrong !== undefined) throw new ApiRefusal(400, `unknown or repeated query parameter "${wrong}"`);
}

/** One of the words. @throws {ApiRefusal} 400 */
export function oneOf<Word extends string>(name: string, value: unknown, words: readonly Word[]): Word {
  const word = words.find((known) => known === value);
  if (word === undefined) throw new ApiRefusal(400, `${name} must be one of ${words.join(", ")}`);
  return word;
}

/** A non-empty string. @throws {ApiRefusal} 400 */
export function requiredText(name: string, value: unknown): string {
  if (typeof value !== "string" || value === "") throw new ApiRefusal(400, `${name} is required`);
  return value;
}
