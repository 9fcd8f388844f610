/** Computes each answer once for all identical requests, in steps between which other work runs, and caches it for a while. */
import type { Telemetry } from "../../catalogue/telemetry.ts";
import { Refusal } from "../../errors.ts";
import type { Pace } from "../pace.ts";

export type Work = <Result>(step: () => Result | Promise<Result>) => Promise<Result>;

export interface SharedDeps {
  readonly pace: Pace;
  readonly telemetry: Telemetry;
}

/** An answer is reused for this time, or this many times as long as it took to compute: at most a twentieth of the thread. */
const keptMs = 2000;
const keptFactor = 20;

/** Maximum number of answers cached, and being computed. */
const maxAnswers = 32;

export class SharedAnswers {
  readonly #deps: SharedDeps;
  readonly #computing = new Map<string, Promise<object>>();
  readonly #kept = new Map<string, Promise<object>>();
  #isClosed = false;

  constructor(deps: SharedDeps) {
    this.#deps = deps;
  }

  /** @throws {Refusal} `overloaded` if too many different answers are being computed; `shutting_down` once this is closed. */
  get<Answer extends object>(key: string, compute: (work: Work) => Promise<Answer>): Promise<Answer> {
    const known = this.#computing.get(key) ?? this.#kept.get(key);
    return (known as Promise<Answer> | undefined) ?? this.#begin(key, compute);
  }

  close(): void {
    this.#isClosed = true;
    this.#kept.clear();
  }

  #begin<Answer extends object>(key: string, compute: (work: Work) => Promise<Answer>): Promise<Answer> {
    if (this.#computing.size >= maxAnswers) {
      this.#deps.telemetry.add("tailscale2otel.admin.rejected", 1, { reason: "overloaded" });
      throw new Refusal("overloaded", `${maxAnswers} answers are being computed already`);
    }
    let workMs = 0;
    const answer = compute((step) =>
      this.#deps.pace.step(async () => {
        if (this.#isClosed) throw new Refusal("shutting_down", "the program is stopping");
        const beganAt = performance.now();
        const result = await step();
        workMs += performance.now() - beganAt;
        return result;
      }),
    );
    this.#computing.set(key, answer);
    answer.then(
      () => this.#keep(key, answer, Math.max(keptMs, workMs * keptFactor)),
      () => void this.#computing.delete(key),
    );
    return answer;
  }

  #keep(key: string, answer: Promise<object>, forMs: number): void {
    this.#computing.delete(key);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= maxAnswers && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, answer);
    setTimeout(() => {
      if (this.#kept.get(key) === answer) this.#kept.delete(key);
    }, forMs).unref();
  }
}
