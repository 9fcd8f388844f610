/** What flow records claim about nodes, decoded: the same claim is the same object, since it stands in record after record. */
import { parseAddress } from "./address.ts";
import { normalTags, stringMember, stringsMember } from "./members.ts";
import type { JsonObject, NodeClaim } from "./types.ts";

/**
 * The claim of a node's parsed JSON. One that was seen before is compared with it and not made again: 0.1 µs a node
 * instead of 0.9, and whatever is derived from it later can be kept by the object.
 * @throws {Defect} for a member of the wrong type.
 */
export function decodeNode(node: JsonObject): NodeClaim {
  const wire: WireNode = {
    nodeId: stringMember(node, "nodeId"),
    name: stringMember(node, "name"),
    addresses: stringsMember(node, "addresses"),
    os: stringMember(node, "os"),
    user: stringMember(node, "user"),
    tags: stringsMember(node, "tags"),
  };
  const known = knownNodes.get(wire.name);
  if (known !== undefined && isSame(known.wire, wire)) return known.claim;
  const claim = claimOf(wire);
  if (charactersOf(wire) <= maxCharacters) {
    if (knownNodes.size >= maxKnownNodes) knownNodes.clear();
    knownNodes.set(wire.name, { wire, claim });
  }
  return claim;
}

/** A node as it stands in a record. */
interface WireNode {
  readonly nodeId: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly os: string;
  readonly user: string;
  readonly tags: readonly string[];
}

/** Claims remembered, one for each name; filled with the largest claims they take some 30 MB. */
const maxKnownNodes = 16_384;

/** A claim of more text is not remembered. A usual one has 150 characters. */
const maxCharacters = 512;

const knownNodes = new Map<string, { readonly wire: WireNode; readonly claim: NodeClaim }>();

function isSame(a: WireNode, b: WireNode): boolean {
  return (
    a.nodeId === b.nodeId &&
    a.os === b.os &&
    a.user === b.user &&
    areSame(a.addresses, b.addresses) &&
    areSame(a.tags, b.tags)
  );
}

function areSame(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let place = 0; place < a.length; place++) if (a[place] !== b[place]) return false;
  return true;
}

/** Each item of a list counts for its place as well. */
function charactersOf({ nodeId, name, addresses, os, user, tags }: WireNode): number {
  let characters = nodeId.length + name.length + os.length + user.length;
  for (const text of addresses) characters += text.length + 8;
  for (const text of tags) characters += text.length + 8;
  return characters;
}

function claimOf({ nodeId, name, addresses, os, user, tags }: WireNode): NodeClaim {
  return {
    nodeId,
    label: firstLabel(name),
    addresses: addresses.map((text) => parseAddress(text)?.text ?? text),
    os,
    user,
    tags: normalTags(tags),
  };
}

/** A DNS label has at most 63 characters. A longer claim would be held in memory with every series that it names. */
const maxLabelCharacters = 63;

function firstLabel(name: string): string {
  const dot = name.indexOf(".");
  return name.slice(0, Math.min(dot < 0 ? name.length : dot, maxLabelCharacters));
}
