/**
 * The alerts: what is measured, from where on it is a fault, and with which series it must and must not fire. What to do is in
 * `docs/operations.md`, under the alert's name.
 */
import type { Alert } from "./alert.ts";
import { alertsOfRecords } from "./alerts-records.ts";
import { alertsOfSources } from "./alerts-sources.ts";

export const alerts: readonly Alert[] = [...alertsOfRecords, ...alertsOfSources];
