/** Deletes seen keys, and moves the horizons up to which they may have been removed. Flow keys are deleted by day, others one by one. */
import { type Horizon, type KeyClass, keyClasses } from "../journal.ts";
import { type KeyLimits, keyLimitsOf, type KeySettings, oldestKept } from "../key-limits.ts";
import { keyBits } from "../keys.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Change } from "./state.ts";
import type { Leading } from "./writer.ts";

/** Keys of other classes that are deleted with one write. */
const keysAtOnce = 5000;

type OtherClass = Exclude<KeyClass, "flow">;

interface DayOfKeys {
  readonly day: number;
  readonly keys: number;
  readonly latest_at: number;
  readonly streamed_at: number;
}

interface Leaving {
  readonly until: number | null;
  readonly streamed: number | null;
  readonly keys: number;
}

export class KeyRetention {
  readonly #deps: Leading & { readonly logger: Logger };
  readonly #limits: Readonly<Record<KeyClass, KeyLimits>>;
  #isWarned = false;

  constructor(settings: KeySettings, deps: Leading & { readonly logger: Logger }) {
    this.#deps = deps;
    this.#limits = keyLimitsOf(settings);
  }

  /** `now` is the clock by which keys age. */
  async release(now: number): Promise<void> {
    await this.#releaseDays(this.#oldestOf("flow", now));
    for (const keyClass of keyClasses)
      if (keyClass !== "flow") await this.#releaseOf(keyClass, this.#oldestOf(keyClass, now));
  }

  #oldestOf(keyClass: KeyClass, now: number): number {
    return oldestKept(keyClass, this.#limits[keyClass], now, this.#deps.state);
  }

  /** Deletes a day once the last of its keys is older than the window, or while the other days alone reach the maximum. */
  async #releaseDays(oldest: number): Promise<void> {
    const { connection, schema, writer, logger } = this.#deps;
    const days = await connection.query<DayOfKeys>(`SELECT * FROM ${schema}.key_day ORDER BY latest_at, day`);
    let left = days.reduce((sum, { keys }) => sum + keys, 0);
    for (const { day, keys, latest_at: until, streamed_at: streamed } of days) {
      const isOld = until < oldest;
      const isTooMany = left - keys >= this.#limits.flow.maxKeys;
      if (!isOld && !isTooMany) return;
      await writer.write((change) => {
        // If a record of that day has arrived since, or is arriving, its keys are kept.
        change.run("SET LOCAL lock_timeout = '500ms'");
        change.run(`LOCK TABLE ONLY ${schema}.flow_key IN ACCESS EXCLUSIVE MODE`);
        change.run(
          `SELECT ${schema}.drop_keys(day) FROM ${schema}.key_day WHERE day = ${day} AND latest_at = ${until}`,
        );
        this.#moveHorizon(change, "flow", { until, streamed });
      }, "may fail");
      left -= keys;
      if (isOld || this.#isWarned) continue;
      this.#isWarned = true;
      const message =
        "more flow records are remembered than dedup.max_keys: days of them are forgotten early from now on";
      logger.warn(message, { left });
    }
  }

  async #releaseOf(keyClass: OtherClass, oldest: number): Promise<void> {
    const { connection, schema: s, writer } = this.#deps;
    const { maxKeys } = this.#limits[keyClass];
    const [counted] = await connection.query<{ keys: number; excess: number | null }>(
      `SELECT COUNT(*) AS keys, (SELECT at FROM ${s}.other_key WHERE class = $1 ORDER BY at DESC OFFSET $2 LIMIT 1) AS excess
        FROM (SELECT FROM ${s}.other_key WHERE class = $1 AND at < $3 LIMIT 1) k`,
      [keyClass, maxKeys, Math.ceil(oldest)],
    );
    const excess = counted?.excess ?? Number.NEGATIVE_INFINITY;
    if (counted === undefined || (counted.keys === 0 && !Number.isFinite(excess))) return;
    const before = Math.max(Math.ceil(oldest), excess + 1);
    const isStreamed = `get_byte(word, 0) & ${keyBits.stream} <> 0`;
    for (;;) {
      const [leaving] = await connection.query<Leaving>(
        `SELECT MAX(at) AS until, MAX(at) FILTER (WHERE ${isStreamed}) AS streamed, COUNT(*) AS keys
          FROM (SELECT at, word FROM ${s}.other_key WHERE class = $1 AND at < $2 ORDER BY at LIMIT ${keysAtOnce}) k`,
        [keyClass, before],
      );
      const { until, streamed, keys } = leaving ?? { until: null, streamed: null, keys: 0 };
      if (until === null) return;
      await writer.write((change) => {
        change.run(`DELETE FROM ${s}.other_key WHERE class = '${keyClass}' AND at <= ${until}`);
        this.#moveHorizon(change, keyClass, { until, streamed: streamed ?? 0 });
      }, "may fail");
      if (keys < keysAtOnce) return;
    }
  }

  #moveHorizon(change: Change, keyClass: KeyClass, to: Horizon): void {
    const { until, streamed } = change.get(`horizon.${keyClass}`) ?? { until: 0, streamed: 0 };
    const moved = { until: Math.max(until, to.until), streamed: Math.max(streamed, to.streamed) };
    change.set(`horizon.${keyClass}`, moved);
  }
}
