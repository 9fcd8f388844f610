/**
 * Traffic of a running instance for the page: by minute, as a map of nodes, and live. Answers are computed in short steps and
 * cached for some seconds, so that a hundred pages with the same view cost as much as one.
 */
import type { Telemetry } from "../../catalogue/telemetry.ts";
import type { Clock } from "../../lib/clock.ts";
import { calmLogger, type Logger } from "../../lib/logger.ts";
import { type Journal, reasonOf } from "../../journal/index.ts";
import type { Ledger } from "../../ledger/index.ts";
import { minuteMs } from "../../ledger/minute.ts";
import type { Counting } from "../../pipeline/counting.ts";
import { MinuteRebuild } from "../../pipeline/rebuild.ts";
import type { ProcessorSettings } from "../../processors/settings.ts";
import type { Pace } from "../pace.ts";
import type { RecentTraffic, Traffic, TrafficMap, TrafficSample } from "./answers.ts";
import { mapOf, noSums } from "./map.ts";
import { Samples } from "./samples.ts";
import { MinuteSeries } from "./series.ts";
import { SharedAnswers, type Work } from "./shared.ts";

export type * from "./answers.ts";

export interface TrafficDeps {
  readonly journal: Pick<Journal, "openReader">;
  readonly ledger: Pick<Ledger, "minutes">;
  readonly counting: Pick<Counting, "isCaughtUp">;
  readonly settings: ProcessorSettings;
  readonly pace: Pace;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface TimeRange {
  /** Epoch milliseconds; the defaults are an hour before `until`, and now. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
}

export interface SeriesQuery extends TimeRange {
  /** Names as shown; empty: all traffic. */
  readonly nodes: readonly string[];
}

export interface MapQuery extends TimeRange {
  readonly limit: number;
}

export type TrafficFeed = ReturnType<typeof createTraffic>;

export const maxPairs = 2000;

const hourMs = 3_600_000;

/** How long one step may work. */
const stepMs = 8;

/** Interval between checks for minutes to rebuild. */
const rebuildMs = 1000;

/** Nothing is sampled or rebuilt before `start`; answers are computed at any time. */
export function createTraffic(deps: TrafficDeps) {
  const { journal, counting, settings, pace, telemetry, clock, logger } = deps;
  const { minutes } = deps.ledger;
  const rebuild = new MinuteRebuild({ journal, minutes, settings });
  const samples = new Samples({ minutes, clock });
  const answers = new SharedAnswers({ pace, telemetry });
  const isComplete = (): boolean => counting.isCaughtUp && minutes.gap === undefined;
  const calm = calmLogger(logger, clock);
  const ending = new AbortController();
  let timer: ReturnType<typeof setInterval> | undefined;
  let isRebuilding = false;

  async function rebuildMinutes(): Promise<void> {
    if (isRebuilding || minutes.gap === undefined) return;
    isRebuilding = true;
    const beganAt = performance.now();
    try {
      while (!(await pace.step(() => ending.signal.aborted || rebuild.step())));
      const ms = Math.round(performance.now() - beganAt);
      if (minutes.gap === undefined) logger.info("history by minute rebuilt from the journal", { ms });
    } catch (error) {
      calm.warn("cannot rebuild the history by minute; retrying", { reason: reasonOf(error) });
    }
    isRebuilding = false;
  }

  /** Rounds to whole minutes; the last one is included up to now. */
  function rangeOf({ since, until = clock() + 1 }: TimeRange): { readonly since: number; readonly until: number } {
    const end = Math.ceil(until / minuteMs) * minuteMs;
    const begin = since ?? until - hourMs;
    return { since: begin - (begin % minuteMs), until: end };
  }

  async function each<Found>(
    work: Work,
    found: AsyncIterator<Found>,
    add: (found: Found) => void | Promise<void>,
  ): Promise<void> {
    const addSome = async (): Promise<boolean> => {
      for (const endsAt = performance.now() + stepMs; performance.now() < endsAt;) {
        const next = await found.next();
        if (next.done === true) return true;
        await add(next.value);
      }
      return false;
    };
    while (!(await work(addSome)));
  }

  return {
    /** @throws {Refusal} `overloaded` if too many different answers are requested at once. */
    series({ nodes, ...query }: SeriesQuery): Promise<Traffic> {
      const range = rangeOf(query);
      const { since, until } = range;
      return answers.get(JSON.stringify(["series", range, nodes]), async (work) => {
        const series = new MinuteSeries(nodes);
        await work(() => minutes.settle());
        if (nodes.length === 0) await each(work, minutes.totals(since, until), (found) => series.add(...found));
        else await each(work, minutes.read(since, until), (found) => series.addOfNodes(...found));
        return { ...range, stepSeconds: 60, isComplete: isComplete(), ...series.answer() };
      });
    },
    /** @throws {Refusal} */
    map({ limit, ...query }: MapQuery): Promise<TrafficMap> {
      const range = rangeOf(query);
      const { since, until } = range;
      return answers.get(JSON.stringify(["map", range, limit]), async (work) => {
        const sums = noSums();
        await work(() => minutes.settle());
        await each(work, minutes.read(since, until), async ([, addTo]) => void (await addTo(sums)));
        return { ...range, isComplete: isComplete(), ...(await work(() => mapOf(sums, limit))) };
      });
    },
    recent: (): RecentTraffic => samples.recent(),
    /** Calls back with each sample of five seconds, until the feed stops. */
    onSample: (listener: (sample: TrafficSample) => void): void => samples.onSample(listener),
    /** Ends the current sample early. */
    takeSample: (): void => samples.sample(),
    /** Starts to take samples, and to rebuild minutes if necessary. */
    start(): void {
      samples.start();
      timer = setInterval(() => void rebuildMinutes(), rebuildMs).unref();
    },
    stop(): void {
      ending.abort();
      answers.close();
      samples.stop();
      clearInterval(timer);
      rebuild.close();
    },
  };
}
