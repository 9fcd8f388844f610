/** Health: open to everybody, and telling nobody more than whether it works. */
import { jsonResponse } from "../http/response.ts";
import type { Route } from "../http/router.ts";

/** Why nothing can be taken at the moment; empty where all is well. */
export type ReadReadiness = () => readonly string[];

/** `/healthz`: the process answers. `/readyz`: it can take records. */
export function healthRoutes(readiness: ReadReadiness): readonly Route[] {
  return [
    { path: "/healthz", methods: { GET: () => jsonResponse(200, { status: "ok" }) } },
    {
      path: "/readyz",
      methods: {
        GET() {
          const reasons = readiness();
          return reasons.length === 0
            ? jsonResponse(200, { status: "ready" })
            : jsonResponse(503, { status: "not ready", reasons });
        },
      },
    },
  ];
}
