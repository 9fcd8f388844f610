/** A backend in phases of seconds: well, failing, hanging, resetting, refusing, dripping, partial; and never a taker of poison. */
import { createRandom } from "../../src/cli/demo/random.ts";
import type { Behaviour, SunkRequest } from "../support/otlp-sink.ts";
import { isPoisonId } from "./traffic.ts";

export interface ChaoticBackend {
  /** What to do with a request. */
  behave(request: SunkRequest): Behaviour;
  /** From here on it takes everything but poison. */
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

/** Well comes often, so that much is delivered between the kills too. */
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

/** Requests of more events than this are refused with 413 in that phase, whatever they hold. */
const maxEventsOf413 = 20;

/**
 * A backend that begins to refuse everything in the moment after it has taken a request of one event, by which it was
 * tested, has set a trap: the sender is right to find the event guilty that it was tried for. This long it waits.
 */
const trapMs = 1000;

export function createChaoticBackend(seed: number): ChaoticBackend {
  const random = createRandom(seed);
  const deeds: Record<string, number> = {};
  let phase: Phase = "well";
  let phaseEndsAt = 0;
  let isCalm = false;
  let lastSingleAt = 0;

  function deedFor(request: SunkRequest): Phase | "poison" {
    const now = performance.now();
    if (request.logs.some(({ attributes }) => isPoisonId(attributes["tailscale.node.id"]))) return "poison";
    if (now >= phaseEndsAt && !isCalm) {
      phase = random.pick(names);
      phaseEndsAt = now + 100 + random.below(700);
    }
    const isTrap = (phase === "status400" || phase === "status413") && now - lastSingleAt < trapMs;
    const isSmall = phase === "status413" && request.logs.length <= maxEventsOf413;
    const deed = isCalm || isTrap || isSmall ? "well" : phase;
    if (request.logs.length === 1 && (deed === "well" || deed === "partial")) lastSingleAt = now;
    return deed;
  }

  return {
    behave(request) {
      const deed = deedFor(request);
      deeds[deed] = (deeds[deed] ?? 0) + 1;
      return deed === "poison" ? status(400) : phases[deed].behaviour;
    },
    calm() {
      isCalm = true;
    },
    deeds,
  };
}
