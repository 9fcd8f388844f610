/** Defines what an alert consists of, and helpers for the series of its tests. */
import type { MetricName } from "../../src/catalogue/metrics.ts";
import { promql, type Where } from "./promql.ts";

export interface Alert {
  readonly name: string;
  /** `critical`: data is lost or about to be. `warning`: something must be done. `info`: worth knowing. */
  readonly severity: "critical" | "warning" | "info";
  /** An expression that also has a value while all is well. */
  readonly value: string;
  /** The condition under which the value is a fault. */
  readonly when: `${"<" | ">" | "=="} ${number}`;
  readonly for: string;
  readonly summary: string;
  readonly description: string;
  readonly fires: readonly Given[];
  readonly quiet: readonly Given[];
}

/** Placeholder for the alert's own instance: all alerts are tested together, and each must fire on its own instance only. */
export const instanceInTests = "INSTANCE";

/** A series of a test, with one value per minute in promtool's notation. */
export interface Given {
  readonly series: string;
  readonly values: string;
}

const inTests = promql({ scope: `instance="${instanceInTests}"`, window: "", keep: [] });

export const hour = 3600;
const minutes = 120;

export const always = (value: number): string => `${value}x${minutes}`;
export const growing = (by: number): string => `0+${by}x${minutes}`;

export function given<Name extends MetricName>(
  name: Name,
  values: string,
  where?: Where<Name>,
  suffix?: string,
): Given {
  return { series: inTests.series(name, where, suffix), values };
}

/** The alert fires if the series grows by one per minute, and not if it stays constant. */
export function whenGrowing<Name extends MetricName>(name: Name, where?: Where<Name>): Pick<Alert, "fires" | "quiet"> {
  return { fires: [given(name, growing(1), where)], quiet: [given(name, always(3), where)] };
}

export function whenAt<Name extends MetricName>(name: Name, fault: number, well: number, where?: Where<Name>) {
  return { fires: [given(name, always(fault), where)], quiet: [given(name, always(well), where)] };
}

/** For series that exist only once something has happened: 0 until then. */
export const never = (expression: string): string => `(${expression} or vector(0))`;

export const share = (part: string, whole: string): string => `${part} / ${whole}`;

/** Ten measurements per minute: quick ones take up to 5 ms, slow ones mostly about 2 s. */
export function bucketsOf(speed: "slow" | "quick"): readonly Given[] {
  const name = "tailscale2otel.event_loop.lag";
  const perMinute = speed === "slow" ? [1, 1, 10, 10] : [10, 10, 10, 10];
  return ["0.005", "1", "2.5", "+Inf"].map((le, at) => ({
    series: `${inTests.series(name, {}, "_bucket").replace("}", `,le="${le}"}`)}`,
    values: growing(perMinute[at] ?? 0),
  }));
}
