/**
 * The alerts: what each measures, when that is a fault, and the series with which it must and must not fire.
 * `docs/operations.md` says under the alert's name what to do.
 */
import type { Alert } from "./alert.ts";
import { alertsOfRecords } from "./alerts-records.ts";
import { alertsOfSources } from "./alerts-sources.ts";

export const alerts: readonly Alert[] = [...alertsOfRecords, ...alertsOfSources];
