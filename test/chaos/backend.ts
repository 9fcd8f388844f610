/** A backend that changes every few moments between healthy and different failures, and always rejects poison. */
import { createRandom } from "../../src/demo/random.ts";
import type { Behaviour, SunkLog, SunkRequest } from "../support/otlp-sink.ts";
import { eventKey } from "./account.ts";
import { isPoisonId } from "./traffic.ts";

export interface ChaoticBackend {
  /** How to handle a request. */
  behave(request: SunkRequest): Behaviour;
  /** From now on, accepts everything but poison. */
  calm(): void;
  /** How often it did what. */
  readonly deeds: Readonly<Record<string, number>>;
}

const status = (code: number, headers: Readonly<Record<string, string>> = {}): Behaviour => ({
  kind: "status",
  status: code,
  body: `no ${code}`,
  headers,
});

/** The healthy phase is frequent, so that much is delivered between the kills as well. */
const phases = {
  well: { weight: 12, behaviour: { kind: "take" } },
  partial: { weight: 1, behaviour: { kind: "take", rejected: 1, message: "one is too old" } },
  status429: { weight: 1, behaviour: status(429, { "retry-after": "1" }) },
  status503: { weight: 1, behaviour: status(503) },
  status500: { weight: 1, behaviour: status(500) },
  status401: { weight: 1, behaviour: status(401) },
  status400: { weight: 2, behaviour: status(400) },
  status413: { weight: 1, behaviour: status(413) },
  hang: { weight: 1, behaviour: { kind: "hang" } },
  reset: { weight: 2, behaviour: { kind: "reset" } },
  drip: { weight: 1, behaviour: { kind: "drip", everyMs: 50 } },
} as const satisfies Record<string, { weight: number; behaviour: Behaviour }>;

type Phase = keyof typeof phases;

const names = Object.keys(phases).flatMap((name) => Array<Phase>(phases[name as Phase].weight).fill(name as Phase));

/** In that phase, larger requests are rejected with 413 regardless of their content. */
const maxEventsOf413 = 20;

/**
 * A sender blames a record that was rejected again after something later was accepted. So a backend that rejects everything for
 * a while must first accept what it rejected the last time, because a sender could not tell that from a rejection with a cause.
 * Until then, it stays healthy.
 */
export function createChaoticBackend(seed: number): ChaoticBackend {
  const random = createRandom(seed);
  const deeds: Record<string, number> = {};
  /** Harmless log records that were rejected and not accepted since. */
  const suspected = new Set<string>();
  let phase: Phase = "well";
  let phaseEndsAt = 0;
  let isCalm = false;

  function deedFor({ logs }: SunkRequest): Phase | "poison" {
    const now = performance.now();
    if (now >= phaseEndsAt && !isCalm) {
      const next = random.pick(names);
      phase = (next === "status400" || next === "status413") && suspected.size > 0 ? "well" : next;
      phaseEndsAt = now + 100 + random.below(700);
    }
    if (logs.some(isPoison)) return "poison";
    const isSmall = phase === "status413" && logs.length <= maxEventsOf413;
    return isCalm || isSmall ? "well" : phase;
  }

  return {
    behave(request) {
      const deed = deedFor(request);
      deeds[deed] = (deeds[deed] ?? 0) + 1;
      const harmless = request.logs.filter((log) => !isPoison(log)).map(eventKey);
      if (deed === "well" || deed === "partial") for (const key of harmless) suspected.delete(key);
      if (deed === "poison" || deed === "status400" || deed === "status413")
        for (const key of harmless) suspected.add(key);
      return deed === "poison" ? status(400) : phases[deed].behaviour;
    },
    calm() {
      isCalm = true;
    },
    deeds,
  };
}

const isPoison = ({ attributes }: SunkLog): boolean => isPoisonId(attributes["tailscale.node.id"]);
