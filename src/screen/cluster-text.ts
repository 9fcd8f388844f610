/** The words of `status` for the instances that share a journal. */
import type { ClusterStatus, ShownMember } from "../admin/cluster.ts";
import { printable } from "../lib/text.ts";
import { ageText } from "./status-text.ts";

/** One row for each member, then the lease and how far the leader is behind. `now`: epoch milliseconds. */
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

function memberText(one: ShownMember, { member }: ClusterStatus, name: string, now: number): string {
  const { id, version, adminAddress, seenAt, isLeader } = one;
  const seen = `seen ${ageText(Math.max(0, now - Date.parse(seenAt)))} ago`;
  return [
    name,
    isLeader ? "leads  " : "follows",
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
