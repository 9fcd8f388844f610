/** Answers as JSON. */

/** A response whose body is that value, or that text where it is JSON already. */
export function jsonResponse(
  status: number,
  body: object | string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return new Response(text, { status, headers: { "content-type": "application/json", ...headers } });
}
