/** Compares the books of a chaos run with the program's exported counters and its history by minute. */
import type { Traffic } from "../../src/admin/traffic/index.ts";
import type { Account } from "./account.ts";
import { totalNames } from "./traffic.ts";
import type { CounterWatch } from "./watch.ts";

/** Checks that every exported counter equals the sum over everything accepted, to the byte. */
export function compareCounters(
  account: Account,
  watch: CounterWatch,
  accepted: ReturnType<Account["accepted"]>,
): void {
  const totals = watch.totals();
  for (const name of totalNames) {
    const wanted = accepted.sums[name];
    if (totals[name] !== wanted) account.violations.push(`${name}: exported ${totals[name]}, accepted ${wanted}`);
  }
  const invalid = watch.sum("tailscale2otel.ingest.records", { outcome: "quarantined" });
  if (invalid !== accepted.invalid) account.violations.push(`quarantined: ${invalid}, not ${accepted.invalid}`);
}

/** Checks that the history by minute adds up to the same sums across all kills. */
export function compareHistory(account: Account, history: Traffic, { sums }: ReturnType<Account["accepted"]>): void {
  const { entries, txBytes, rxBytes } = history.series.virtual;
  const { audit: audits, webhook: webhooks } = history;
  for (const [name, minutes] of Object.entries({ entries, txBytes, rxBytes, audits, webhooks })) {
    const found = minutes.reduce((sum, one) => sum + one, 0);
    const wanted = sums[name as keyof typeof sums];
    if (found !== wanted) account.violations.push(`${name}: ${found} in the history, accepted ${wanted}`);
  }
  if (!history.isComplete) account.violations.push("the history is being rebuilt");
}
