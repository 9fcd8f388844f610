/** A store's history by minute in a comparable form, and the sums it must add up to. */
import { auditPlace, firstPhysical, kinds, noMinute, totalsPerKind, webhookPlace } from "../../src/ledger/minute.ts";
import { packMinute, unpackMinute } from "../../src/ledger/packed-minute.ts";
import type { Journal } from "../../src/journal/index.ts";
import { MinuteRebuild } from "../../src/pipeline/rebuild.ts";
import type { Store } from "../support/store.ts";

/** All minutes as a reader sees them now, whether stored, closed or open. */
export async function minutesOf({ ledger }: Store): Promise<Readonly<Record<string, object>>> {
  ledger.minutes.settle();
  const found: Record<string, object> = {};
  for await (const [at, addTo] of ledger.minutes.read(0, Number.MAX_SAFE_INTEGER)) {
    const minute = noMinute();
    if (!(await addTo(minute))) continue;
    const { totals, pairs, services, omitted } = unpackMinute(packMinute(at, minute));
    found[at] = { totals: [...totals], pairs: [...pairs.values()], services: Object.fromEntries(services), omitted };
  }
  return found;
}

/** Sums over all minutes. */
export async function historySums({ ledger }: Store) {
  ledger.minutes.settle();
  const sums = { entries: 0, physical: 0, txBytes: 0, rxPackets: 0, audits: 0, webhooks: 0 };
  for await (const [, totals] of ledger.minutes.totals(0, Number.MAX_SAFE_INTEGER)) {
    for (const [kind] of kinds.entries()) {
      const [entries = 0, txBytes = 0, , , rxPackets = 0] = totals.subarray(kind * totalsPerKind);
      sums.entries += entries;
      if (kind >= firstPhysical) sums.physical += entries;
      sums.txBytes += txBytes;
      sums.rxPackets += rxPackets;
    }
    sums.audits += totals[auditPlace] as number;
    sums.webhooks += totals[webhookPlace] as number;
  }
  return sums;
}

/** The same sums according to the counters, after a fold. */
export function countedSums({ ledger }: Store): Awaited<ReturnType<typeof historySums>> {
  const accepted = (signal: "audit" | "webhook") =>
    ledger.sum("tailscale2otel.ingest.records", { signal, outcome: "accepted" });
  return {
    entries: ledger.sum("tailscale.network.flows"),
    physical: ledger.sum("tailscale.network.flows", { "tailscale.traffic_type": "physical" }),
    txBytes: ledger.sum("tailscale.network.io", { "network.io.direction": "transmit" }),
    rxPackets: ledger.sum("tailscale.network.packets", { "network.io.direction": "receive" }),
    audits: accepted("audit"),
    webhooks: accepted("webhook"),
  };
}

/** Rebuilds what is missing, failing after `maxRows` rows. Returns how many rows were read. */
export async function rebuilt(
  { journal, ledger, settings }: Store,
  maxRows = Number.POSITIVE_INFINITY,
): Promise<number> {
  let rows = 0;
  const failing: Pick<Journal, "openReader"> = {
    openReader() {
      const reader = journal.openReader();
      return {
        ...reader,
        read(...given) {
          if (rows >= maxRows) throw new Error("the disk fails");
          rows++;
          return reader.read(...given);
        },
      };
    },
  };
  const rebuild = new MinuteRebuild({ journal: failing, minutes: ledger.minutes, settings });
  try {
    while (!(await rebuild.step()));
  } catch (error) {
    if (rows < maxRows) throw error;
  } finally {
    rebuild.close();
  }
  return rows;
}
