/** Classifies node names and formats them for display; they come from records, so they can be any text. */
import { visibleName } from "../record-text.ts";

/** `machine` is in the tailnet, `outside` is not, `several` is what the counters do not distinguish. */
export type NodeKind = "machine" | "outside" | "several";

/** The name under which the counters sum everything that has no series of its own. */
const otherNode = "__other__";

/** Names that stand for all unnamed addresses: within the tailnet's ranges, and outside them. */
const shared: ReadonlyMap<string, NodeKind> = new Map([
  ["unknown", "several"],
  ["external", "outside"],
]);

const ipv4 = /^\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?$/;
const ipv6 = /^\[?[\da-f]{0,4}(?::[\da-f]{0,4}){2,8}(?:\d{1,3}(?:\.\d{1,3}){3})?(?:%\w+)?\]?(?::\d{1,5})?$/i;
/** Tailscale's own addresses: 100.64.0.0/10 and fd7a:115c:a1e0::/48. */
const tailnetAddress = /^(?:100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\[?fd7a:115c:a1e0:)/i;

export function nodeKindOf(name: string): NodeKind {
  if (!isNamed(name)) return "several";
  if (name.length > 64) return "machine";
  const isOutside = (ipv4.test(name) || ipv6.test(name)) && !tailnetAddress.test(name);
  return shared.get(name) ?? (isOutside ? "outside" : "machine");
}

/** True if the name can be filtered by. */
export function isNamed(name: string): boolean {
  return name !== otherNode && name !== "";
}

/** The name for display: on one line, at most `maxLength` characters, cut with an ellipsis. */
export function shownName(name: string, maxLength: number): string {
  if (!isNamed(name)) return "other nodes";
  // A character takes at most two UTF-16 units.
  const beginning = visibleName(name.slice(0, maxLength * 2 + 2));
  const characters = [...beginning];
  if (characters.length <= maxLength && beginning.length >= name.length) return beginning;
  return `${characters.slice(0, maxLength - 1).join("")}…`;
}

/** The same, within isolates, so that its direction does not affect the text around it. For a canvas; HTML has `<bdi>`. */
export function isolatedName(name: string, maxLength: number): string {
  return `\u2068${shownName(name, maxLength)}\u2069`;
}
