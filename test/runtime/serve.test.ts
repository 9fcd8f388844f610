/** Tests how the server of this runtime treats idle connections. */
import { afterEach, expect, test } from "bun:test";
import { type RunningServer, serve } from "../../src/runtime/serve.ts";
import { head, sendRaw } from "../support/raw-http.ts";
import { timeoutMs } from "../support/wait.ts";

let server: RunningServer;

afterEach(() => server.abort());

test(
  "a connection whose idle timeout was switched off for a request is closed if it stays idle after the answer",
  async () => {
    server = serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeoutSeconds: 1,
      async handle(request, connection) {
        if (request.url.endsWith("/long")) connection.disableIdleTimeout("answer");
        const answer = new Response(await request.text());
        answered.resolve();
        return answer;
      },
      onError: () => new Response("failed", { status: 500 }),
    });
    const answered = Promise.withResolvers<void>();
    const untilClosed = async (path: string): Promise<string> => {
      const request = [head("POST", path, { "content-length": 2 }), "hi"];
      return (await sendRaw(server.port, request, { until: "closed" })).body;
    };
    const long = untilClosed("/long");
    await answered.promise;
    // Connections that became idle later are closed later, at the latest in the next round.
    for (const _ of [1, 2]) expect(await untilClosed("/usual")).toBe("hi");
    expect(await Promise.race([long, Promise.resolve("still open")])).toBe("hi");
  },
  timeoutMs,
);
