/** Names of nodes: what they stand for, and how they are shown. They come from records, so they can be any text. */
import { visibleName } from "../record-text.ts";

/** `machine` is in the tailnet, `outside` is not, `several` is what the counters did not tell apart. */
export type NodeKind = "machine" | "outside" | "several";

/** The name under which the counters sum what has no series of its own. */
const otherNode = "__other__";

/** Names that stand for all addresses without a name: within the tailnet's ranges, and outside of them. */
const shared: ReadonlyMap<string, NodeKind> = new Map([
  ["unknown", "several"],
  ["external", "outside"],
]);

const ipv4 = /^\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?$/;
const ipv6 = /^\[?[\da-f]{0,4}(?::[\da-f]{0,4}){2,8}(?:\d{1,3}(?:\.\d{1,3}){3})?(?:%\w+)?\]?(?::\d{1,5})?$/i;
/** Tailscale's own addresses: 100.64.0.0/10 and fd7a:115c:a1e0::/48. */
const tailnetAddress = /^(?:100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\[?fd7a:115c:a1e0:)/i;

/** What a name stands for. */
export function nodeKindOf(name: string): NodeKind {
  if (!isNamed(name)) return "several";
  if (name.length > 64) return "machine";
  const isOutside = (ipv4.test(name) || ipv6.test(name)) && !tailnetAddress.test(name);
  return shared.get(name) ?? (isOutside ? "outside" : "machine");
}

/** Whether one can filter by it. */
export function isNamed(name: string): boolean {
  return name !== otherNode && name !== "";
}

/** The name for a person to read: of one line, at most `maxLength` characters, cut with an ellipsis. */
export function shownName(name: string, maxLength: number): string {
  if (!isNamed(name)) return "other nodes";
  // A character takes at most two places of a string.
  const beginning = visibleName(name.slice(0, maxLength * 2 + 2));
  const characters = [...beginning];
  if (characters.length <= maxLength && beginning.length >= name.length) return beginning;
  return `${characters.slice(0, maxLength - 1).join("")}…`;
}

/** The same, between marks that keep its direction from changing what stands around it. For a canvas; HTML has `<bdi>`. */
export function isolatedName(name: string, maxLength: number): string {
  return `\u2068${shownName(name, maxLength)}\u2069`;
}
