/** The arithmetic of windows: every second is read, none is skipped silently, and nothing before the horizon is requested. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  firstPosition,
  hasPassed,
  type NextWindow,
  nextWindow,
  type PollState,
  type WindowPolicy,
} from "../../../src/receivers/poller/windows.ts";
import { seeded } from "../../support/random.ts";

const day = 86_400;
const now = 1_793_600_000;

const policy: WindowPolicy = { lag: 120, lookback: 300, maxWindow: 3600, overlap: 300, retention: 30 * day };

function stateOf(members: Partial<PollState> = {}): PollState {
  return {
    now,
    readUntil: now - 180,
    resumeAt: undefined,
    span: policy.maxWindow,
    horizon: { until: 0, streamed: 0 },
    ...members,
  };
}

/** Start and end of a window, in seconds before the present. */
const ago = (window: NextWindow | undefined): readonly number[] =>
  window?.window === undefined ? [] : [now - window.window.start, now - window.window.end];

describe("a window", () => {
  test("begins the overlap before the last position and ends the lag before the present", () => {
    const next = nextWindow(policy, stateOf());
    expect(ago(next)).toEqual([480, 120]);
    expect(next).toMatchObject({ readUntil: now - 120, unverifiableSeconds: 0, isLast: true });
  });

  test("is not requested while there is nothing new to read", () => {
    expect(nextWindow(policy, stateOf({ readUntil: now - 120 }))).toBeUndefined();
  });

  test("is at most max_window long, and the next one begins where it ended, without an overlap", () => {
    const first = nextWindow(policy, stateOf({ readUntil: now - day }));
    expect(ago(first)).toEqual([day + 300, day + 300 - 3600]);
    expect(first?.isLast).toBe(false);
    const second = nextWindow(policy, stateOf({ readUntil: first?.readUntil ?? 0, resumeAt: first?.window?.end ?? 0 }));
    expect(ago(second)).toEqual([day - 3300, day - 6900]);
  });

  test("is halved by its span even inside the overlap, which does not move the position back", () => {
    const next = nextWindow(policy, stateOf({ span: 100 }));
    expect(ago(next)).toEqual([480, 380]);
    expect(next).toMatchObject({ readUntil: now - 180, isLast: false });
  });

  test("overlaps by at most half of max_window, so that it always advances", () => {
    const short = { ...policy, maxWindow: 10 };
    expect(ago(nextWindow(short, stateOf({ span: 10 })))).toEqual([185, 175]);
  });

  test("pulls back a position ahead of the present", () => {
    const next = nextWindow(policy, stateOf({ readUntil: now + 5000 }));
    expect(ago(next)).toEqual([420, 120]);
    expect(next?.readUntil).toBe(now - 120);
  });

  test("ends no later than the last wanted second", () => {
    expect(ago(nextWindow(policy, stateOf({ readUntil: now - 1000, until: now - 500 })))).toEqual([1300, 500]);
  });
});

describe("the horizon", () => {
  const millisAgo = (seconds: number): number => (now - seconds) * 1000;

  test("is not crossed backwards by the overlap", () => {
    const next = nextWindow(policy, stateOf({ horizon: { until: millisAgo(400), streamed: 0 } }));
    expect(ago(next)).toEqual([400 - 61, 120]);
    expect(next?.unverifiableSeconds).toBe(0);
  });

  test("does not shorten an unread span that the stream did not deliver", () => {
    const next = nextWindow(
      policy,
      stateOf({ readUntil: now - 2000, horizon: { until: millisAgo(500), streamed: 0 } }),
    );
    expect(ago(next)).toEqual([2000, 120]);
    expect(next?.unverifiableSeconds).toBe(0);
  });

  test("skips what the stream may have delivered, and counts how much was never read", () => {
    const horizon = { until: millisAgo(500), streamed: millisAgo(500) };
    const next = nextWindow(policy, stateOf({ readUntil: now - 2000, horizon }));
    expect(ago(next)).toEqual([439, 120]);
    expect(next?.unverifiableSeconds).toBe(2000 - 439);
  });

  test("skips everything if the horizon is ahead", () => {
    const horizon = { until: millisAgo(10), streamed: millisAgo(10) };
    const next = nextWindow(policy, stateOf({ readUntil: now - 2000, horizon }));
    expect(next).toEqual({
      window: undefined,
      readUntil: now - 120,
      unverifiableSeconds: 1880,
      isOverlapping: false,
      isLast: true,
    });
  });

  test("is noticed if it moves into a window that is being read", () => {
    const overlapping = nextWindow(policy, stateOf()) as NextWindow;
    expect(hasPassed({ until: millisAgo(481), streamed: 0 }, overlapping)).toBe(false);
    expect(hasPassed({ until: millisAgo(480), streamed: 0 }, overlapping)).toBe(true);
    const fresh = nextWindow(policy, stateOf({ resumeAt: now - 180 })) as NextWindow;
    expect(hasPassed({ until: millisAgo(150), streamed: 0 }, fresh)).toBe(false);
    expect(hasPassed({ until: millisAgo(150), streamed: millisAgo(150) }, fresh)).toBe(true);
  });
});

test("skips and counts what Tailscale no longer stores", () => {
  const next = nextWindow(policy, stateOf({ readUntil: now - 40 * day }));
  expect(ago(next)).toEqual([30 * day, 30 * day - 3600]);
  expect(next?.unverifiableSeconds).toBe(10 * day);
});

test("the very first window reaches back by the look-back", () => {
  expect(firstPosition(now + 0.9, policy)).toBe(now - 420);
});

test("successive windows read every second up to the present, however they are halved and however the clock moves", () => {
  const seconds = fc.integer({ min: 1, max: 5000 });
  fc.assert(
    fc.property(
      fc.record({
        lag: fc.integer({ min: 0, max: 300 }),
        overlap: fc.integer({ min: 0, max: 600 }),
        maxWindow: seconds,
        behind: fc.integer({ min: 0, max: 20_000 }),
        spans: fc.array(seconds, { minLength: 1, maxLength: 5 }),
      }),
      ({ lag, overlap, maxWindow, behind, spans }) => {
        const own = { ...policy, lag, overlap, maxWindow };
        const begin = now - lag - behind;
        let readUntil = begin;
        let resumeAt: number | undefined;
        let covered = begin;
        for (let step = 0; step < 60_000; step++) {
          const span = Math.min(maxWindow, spans[step % spans.length] as number);
          const next = nextWindow(own, stateOf({ now: now + step / 1000, readUntil, resumeAt, span }));
          if (next === undefined) break;
          const { start, end } = next.window as NonNullable<NextWindow["window"]>;
          expect(end - start).toBeLessThanOrEqual(maxWindow);
          expect(start).toBeLessThanOrEqual(covered);
          expect(next.readUntil).toBeGreaterThanOrEqual(readUntil);
          covered = Math.max(covered, end);
          expect(next.readUntil).toBeLessThanOrEqual(covered);
          readUntil = next.readUntil;
          resumeAt = next.isLast ? undefined : end;
        }
        expect(readUntil).toBeGreaterThanOrEqual(now - lag);
      },
    ),
    seeded(),
  );
});
