/** Health: open to everybody, and saying no more than whether the program accepts records, and why not. */
import { jsonResponse } from "../http/exchange.ts";
import type { Route } from "../http/router.ts";
import type { Journal } from "../journal/index.ts";

/** Why records cannot be accepted at the moment; empty if they can. */
export type ReadReadiness = () => readonly string[];

/** `/healthz`: the process answers. `/readyz`: it accepts records. */
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

/**
 * Readiness of a running program, for `/readyz` and `status`. The journal's own refusal is what an append fails with, and
 * so what a receiver answers 503 for: they cannot disagree. `isEnding`: the program has begun to stop.
 */
export function readinessOf(journal: Pick<Journal, "space">, isEnding: () => boolean): ReadReadiness {
  return () => {
    const reasons: string[] = [];
    const { refusal } = journal.space;
    if (refusal !== undefined) reasons.push(refusal);
    if (isEnding()) reasons.push("the program is stopping");
    return reasons;
  };
}
