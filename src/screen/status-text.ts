/** Words the parts of an instance's status, for `status` and the live page. */
import type { ClusterStatus, ShownMember } from "../admin/cluster.ts";
import type { DestinationStatus } from "../admin/destinations.ts";
import type { RedeliveryReport } from "../admin/redeliveries.ts";
import type { CounterState, PollHealth, SignalHealth, Status } from "../admin/status.ts";
import { printable } from "../lib/text.ts";
import { formatBytes, formatDuration } from "../lib/units.ts";

/** Both sums: what was received, and what became of what was accepted. */
export function sumTexts(sums: Status["conservation"]): readonly [received: string, accepted: string] {
  return [
    `${sums.received} = ${sums.accepted} accepted + ${sums.duplicate} duplicate + ${sums.skipped} skipped + ${sums.quarantined} quarantined`,
    `${sums.accepted}${sums.uncounted === 0 ? "" : ` + ${sums.uncounted} uncounted`} = ${sums.delivered} delivered + ${sums.pending} pending + ${sums.deadLettered} dead-lettered${sums.lost === 0 ? "" : ` + ${sums.lost} lost`}`,
  ];
}

/** What the sums cannot show: a lost row may have taken the counts of its records with it. */
export function lostText(rows: number): string {
  return `${rows} ${rows === 1 ? "row" : "rows"} of the journal; records whose counts were lost with them are in neither sum`;
}

/** The sum of a further destination. */
export function destinationText(records: NonNullable<DestinationStatus["records"]>, now: number): string {
  const { types, accepted, delivered, pending, deadLettered, evicted, pendingSince } = records;
  const given = evicted === 0 ? "" : ` + ${evicted} evicted`;
  const only = types.length === 3 ? "" : ` (only ${types.join(", ")})`;
  const oldest = pendingSince === undefined ? "" : `; oldest received ${ageText(now - Date.parse(pendingSince))} ago`;
  return `${accepted}${only} = ${delivered} delivered + ${pending} pending + ${deadLettered} dead-lettered${given}${oldest}`;
}

export function spaceText({ usedBytes, limitBytes }: Pick<Status["space"], "usedBytes" | "limitBytes">): string {
  const [used, limit] = [roughly(usedBytes), limitBytes].map((bytes) => formatBytes(bytes).replace(/\B(?=[A-Z])/, " "));
  return `${used} of ${limit}`;
}

/** The progress of a replay or of a retry of dead letters, on one line. */
export function redeliveryText(report: RedeliveryReport): string {
  const { name, destination, state, since, until, total, delivered, rejected, trouble } = report;
  const of = name === "replay" ? `replay of ${since ?? ""} to ${until ?? ""}` : "retry of dead letters";
  const what = destination === undefined ? of : `${of} for ${destination}`;
  const percent = total === 0 ? 100 : Math.min(100, Math.floor(((delivered + rejected) / total) * 100));
  const again = rejected === 0 ? "" : `, ${rejected} rejected`;
  const why = trouble === undefined ? "" : `; waiting: ${printable(trouble)}`;
  return `${what}: ${state}, ${delivered} of ${total} records delivered (${percent}%)${again}${why}`;
}

/** Undefined unless counters are being restored after a start, while the sums still lack rows. */
export function countersText(counters: CounterState): string | undefined {
  if (counters.kind === "current") return undefined;
  return `restoring, row ${counters.measuredRow} of ${counters.lastRow}; the sums are incomplete`;
}

export function backlogText(since: string | undefined, now: number): string {
  return since === undefined ? "none" : `oldest record received ${ageText(now - Date.parse(since))} ago, at ${since}`;
}

export function pollText({ log, readUntil, lastSuccess, trouble }: PollHealth, now: number): string {
  const age = readUntil === undefined ? undefined : ageText(now - Date.parse(readUntil));
  if (trouble === undefined) return `${log} log ${age === undefined ? "not read yet" : `read up to ${age} ago`}`;
  const last =
    lastSuccess === undefined
      ? "no successful poll since the start"
      : `last success ${ageText(now - Date.parse(lastSuccess))} ago`;
  return `${log} log failing, ${last}${age === undefined ? "" : `, ${age} behind`}: ${printable(trouble)}`;
}

export function signalText(
  health: SignalHealth,
  lastSuccess: string | undefined,
  now: number,
  pending: number,
): string {
  const last = lastSuccess === undefined ? "" : ` (last success ${ageText(now - Date.parse(lastSuccess))} ago)`;
  const { kind, why, since, leftOut = 0 } = health;
  // The state dates from the start of the exporter, the last success from the start of the program.
  const isSent = kind === "untried" && lastSuccess !== undefined;
  if (why === undefined)
    return `${isSent ? "ok" : (unsent[kind] ?? "ok")}${leftOut > 0 ? `, but the backend rejects ${leftOut} series` : ""}${last}`;
  const begun = since === undefined ? "" : ` since ${since}`;
  const waiting = pending === 0 ? "" : ` (${pending} ${pending === 1 ? "record" : "records"} pending)`;
  return `${failures[kind] ?? kind}${begun}: ${printable(why)}${kind === "refusing" ? waiting : ""}${last}`;
}

/** Texts for states in which export fails. */
const failures: Readonly<Record<string, string>> = {
  waiting: "failing, retrying",
  failing: "failing, retrying",
  refusing: "nothing accepted",
  dead: "the export worker died, restarting",
};

/** Texts for states in which nothing was sent. */
const unsent: Readonly<Record<string, string>> = {
  untried: "not sent yet",
  local: "local mode: not sent (otlp.endpoint is empty)",
  disabled: "disabled in the configuration",
  following: "not sent by this instance: the leader delivers",
};

/** A duration in whole units, as people say it. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return formatDuration(Math.floor(seconds / 3600) * 3_600_000);
}

/** Rounds to whole KiB or MiB. */
function roughly(bytes: number): number {
  const unit = bytes >= 1024 ** 2 ? 1024 ** 2 : 1024;
  return Math.round(bytes / unit) * unit;
}

/** One row per member, then the lease and the leader's lag. `now`: epoch milliseconds. */
export function clusterRows(cluster: ClusterStatus, now: number): readonly (readonly [name: string, text: string])[] {
  const { members = [], lease, rows, roundTripMs, trouble } = cluster;
  const names = members.map(nameOf);
  const width = Math.max(0, ...names.map(({ length }) => length));
  const leader = members.find(({ isLeader }) => isLeader);
  return [
    ...members.map((one, at) => ["member", memberText(one, cluster, (names[at] ?? "").padEnd(width), now)] as const),
    ...(trouble === undefined ? [] : [["members", `not known: ${printable(trouble)}`] as const]),
    ...(lease === undefined ? [] : [["lease", leaseText(lease, leader)] as const]),
    ...(rows === undefined
      ? []
      : [
          [
            "lag",
            `${rowsText(rows.last - rows.counted)} to count, ${rowsText(rows.last + 1 - rows.toDeliver)} to deliver`,
          ] as const,
        ]),
    ...(roundTripMs === undefined ? [] : [["database", `answers in ${roundTripMs} ms`] as const]),
  ];
}

/** Members report at least every 20 s, a third of the longest lease; one not seen for this long is silent. */
const lifeMs = 30_000;

function memberText(one: ShownMember, { member }: ClusterStatus, name: string, now: number): string {
  const { id, version, adminAddress, seenAt, isLeader } = one;
  const silentMs = Math.max(0, now - Date.parse(seenAt));
  const seen = `seen ${ageText(silentMs)} ago`;
  return [
    name,
    isLeader ? "leads  " : silentMs > lifeMs ? "silent " : "follows",
    printable(version),
    adminAddress === "" ? "no admin address" : printable(adminAddress),
    id === member ? `${seen} (this instance)` : seen,
  ].join("  ");
}

function leaseText(
  { fence, expiresInMs }: NonNullable<ClusterStatus["lease"]>,
  leader: ShownMember | undefined,
): string {
  const term = `term ${fence}`;
  if (leader === undefined) return `held by nobody, ${term}`;
  const left = expiresInMs > 0 ? `for ${(expiresInMs / 1000).toFixed(1)}s more` : "run out: another instance may lead";
  return `held by ${nameOf(leader)}, ${left}, ${term}`;
}

function nameOf({ host, id }: ShownMember): string {
  return printable(host === "" ? id : host);
}

function rowsText(rows: number): string {
  const known = Math.max(0, rows);
  return known === 1 ? "1 row" : `${known} rows`;
}
