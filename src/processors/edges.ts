/**
 * Interns the attribute sets of flow metrics: source node, destination node and class of a connection entry map to an edge
 * number, so that the ledger can sum in arrays. Bounded: entries beyond the limits are counted under `__other__`.
 */
import { type FlowClass, type NodePair, otherNode } from "../catalogue/increments.ts";
import { addressAbsent, type FlowColumns } from "../records/flow/columns.ts";
import { boundedLabel, privacyOf } from "./outgoing.ts";
import {
  bareClasses,
  bareClassOf,
  classCode,
  codeOfBareClass,
  flowClassOf,
  isBare,
  isRelayed,
  withPorts,
} from "./classes.ts";
import { type End, type EndBook, type Identity, identityLabels } from "./ends.ts";
import type { ProcessorSettings } from "./settings.ts";
import { noNumber, NumberTable, PackedTable, TextTable } from "./tables.ts";

/** Exclusive upper bound of edge numbers. */
export const maxEdges = 65_536;

/** Flag in an entry's edge: exit traffic sent by the reporting node itself, which is therefore not the exit node. */
export const ownExit = maxEdges;

/** In `peerOf`: an edge without a peer, because an endpoint is absent or the destination is a relay. */
export const noPeer = 0xffff_ffff;

/** In `peerOf`: many addresses share the destination's name, so peers are counted by address. */
export const peerByAddress = 0;

/** Exclusive upper bound of class numbers; the first `bareClasses` have no service, region or ports. */
const maxClasses = 8192;
/** Maximum number of classes with ports; further ones are counted without ports. */
const maxPortClasses = 4096;
const maxPairs = 8000;
const maxTexts = 24_576;

/** Lower numbers are reserved for the edges of `__other__`, one per class. */
const firstEdge = maxClasses;
const otherPair = 0;

/** Reserved entries at the start of the text table. */
const reservedTexts = ["shared", "absent", "other"] as const;
const absentNode = 1;
const otherNumber = 2;

/** Bits of an edge number, which is never 0 in the table. */
const edgeBits = 16;
const edgeMask = maxEdges - 1;

/** Bits of a node number, so that two fit in one key. */
const nodeBits = 15;

const recentClasses = 256;
/** Above every code of `classCode`. */
const noCode = 0xffff_ffff;

/** One endpoint of a pair, as metrics show it. */
interface Node {
  readonly shown: string | undefined;
  readonly identity: Identity | undefined;
  /** The number of the shown name alone. */
  readonly name: number;
  /** The number of the name before privacy, or `peerByAddress`. */
  readonly peer: number;
}

let lastGeneration = 0;

export class EdgeBook {
  readonly #settings: ProcessorSettings;
  /** True if nodes are identified only by their unmodified names. */
  readonly #isPlain: boolean;
  readonly #texts = new TextTable(maxTexts);
  #nodes: (Node | undefined)[] = [];
  readonly #pairNumbers = new NumberTable(maxPairs);
  #pairs: NodePair[] = [];
  readonly #classNumbers = new NumberTable(maxClasses - bareClasses);
  #classes: (FlowClass | undefined)[] = [];
  /** Direct-mapped cache of classes without ports, by low bits of the code. */
  readonly #recentCodes = new Uint32Array(recentClasses);
  readonly #recentNumbers = new Uint16Array(recentClasses);
  /** Keyed by the numbers of both nodes and the class; the second word has the class above the edge. */
  readonly #edges = new PackedTable(maxEdges - firstEdge, ~edgeMask);
  readonly #pairOf = new Uint16Array(maxEdges);
  readonly #classOf = new Uint16Array(maxEdges);
  /** Changes whenever the numbers are reassigned. */
  generation = 0;
  #overflowed = 0;
  /** By edge: the number of the exported source name. */
  readonly sourceOf = new Uint32Array(maxEdges);
  /** By edge: the number of the destination's own name, `peerByAddress` or `noPeer`. */
  readonly peerOf = new Uint32Array(maxEdges);

  constructor(settings: ProcessorSettings) {
    this.#settings = settings;
    this.#isPlain = settings.dimensions.nodes && !settings.dimensions.identity && settings.privacy === undefined;
    this.#clear();
  }

  /** The nodes of an edge. Remains valid after `renew`. */
  pair(edge: number): NodePair {
    return this.#pairs[this.#pairOf[edge] as number] as NodePair;
  }

  /** The class of an edge. Remains valid after `renew`. */
  classOf(edge: number): FlowClass {
    return this.#classAt(this.#classOf[edge] as number);
  }

  /** Number of entries since the last call that lost a name, port or service because a table was full. */
  takeOverflowed(): number {
    const taken = this.#overflowed;
    this.#overflowed = 0;
    return taken;
  }

  /** Clears all tables if one of them is more than half full. Called between intervals. */
  renew(): void {
    const isHalfFull =
      this.#pairNumbers.size * 2 > maxPairs ||
      this.#edges.size * 2 > maxEdges - firstEdge ||
      this.#texts.size * 2 > maxTexts ||
      this.#classNumbers.size * 2 > maxPortClasses;
    if (isHalfFull) this.#clear();
  }

  /** The edge of an entry. `ends.begin` must have been called for its record. */
  edgeOf(columns: FlowColumns, entry: number, ends: EndBook): number {
    const code = classCode(columns, entry);
    const tags = columns.ends[entry] as number;
    const sourceTag = tags & 3;
    const destinationTag = tags >> 2;
    const source =
      sourceTag === addressAbsent
        ? absentNode
        : this.#numbered(ends.named(sourceTag, columns.source[entry] as number)).sourceNode;
    const destination =
      destinationTag === addressAbsent || isRelayed(code)
        ? absentNode
        : this.#numbered(ends.named(destinationTag, columns.destination[entry] as number)).destinationNode;
    const classNumber = this.#classNumber(code, this.#portsOf(columns, entry, code));
    if (source === noNumber || destination === noNumber) return this.#otherEdge(classNumber);
    const nodes = (source << nodeBits) | destination;
    const edge = this.#edges.find(nodes, classNumber << edgeBits) & edgeMask;
    return edge === 0 ? this.#add(source, destination, classNumber) : edge;
  }

  #add(source: number, destination: number, classNumber: number): number {
    const nodes = (source << nodeBits) | destination;
    let pair = this.#pairNumbers.find(nodes, 0);
    if (pair === noNumber) {
      pair = this.#pairs.length;
      if (!this.#pairNumbers.add(nodes, 0, pair)) return this.#otherEdge(classNumber);
      this.#pairs.push(this.#pairOfNodes(source, destination));
    }
    const edge = firstEdge + this.#edges.size;
    if (!this.#edges.add(nodes, (classNumber << edgeBits) | edge)) return this.#otherEdge(classNumber);
    this.#pairOf[edge] = pair;
    this.#classOf[edge] = classNumber;
    this.sourceOf[edge] = this.#nodes[source]?.name ?? absentNode;
    const reachesPeer = source !== absentNode && destination !== absentNode;
    this.peerOf[edge] = reachesPeer ? (this.#nodes[destination]?.peer ?? peerByAddress) : noPeer;
    return edge;
  }

  #otherEdge(classNumber: number): number {
    this.#overflowed++;
    return classNumber;
  }

  #pairOfNodes(source: number, destination: number): NodePair {
    const from = this.#nodes[source];
    const to = this.#nodes[destination];
    const identity = this.#settings.dimensions.identity
      ? { ...identityLabels(from?.identity, "tailscale.src"), ...identityLabels(to?.identity, "tailscale.dst") }
      : undefined;
    const who = identity === undefined ? "" : `\u0000${JSON.stringify(identity)}`;
    return {
      key: `${marked(from?.shown)}\u0000${marked(to?.shown)}${who}`,
      source: from?.shown,
      destination: to?.shown,
      identity,
    };
  }

  /** The endpoint, with its node numbers of the current generation. */
  #numbered(end: End): End {
    if (end.nodeGeneration !== this.generation) this.#number(end);
    return end;
  }

  #number(end: End): void {
    end.nodeGeneration = this.generation;
    const shown = this.#shownName(end);
    const name = this.#texts.numberOf(`name ${marked(shown)}`);
    if (this.#isPlain) {
      const peer = end.isShared ? peerByAddress : name;
      end.sourceNode = this.#node(name, { shown, identity: undefined, name, peer });
      end.destinationNode = end.sourceNode;
      return;
    }
    const identity = this.#settings.dimensions.identity ? this.#shownIdentity(end) : undefined;
    const who = `${marked(shown)}\u0000${identity === undefined ? "" : JSON.stringify(identity)}`;
    const peer = end.isShared ? peerByAddress : this.#texts.numberOf(`peer ${end.name}`);
    const source = this.#texts.numberOf(`source ${who}`);
    const destination = this.#texts.numberOf(`destination ${who}\u0000${end.isShared ? "" : end.name}`);
    const hasRoom = name !== noNumber && peer !== noNumber;
    end.sourceNode = hasRoom ? this.#node(source, { shown, identity, name, peer }) : noNumber;
    end.destinationNode = hasRoom ? this.#node(destination, { shown, identity, name, peer }) : noNumber;
  }

  #node(number: number, node: Node): number {
    if (number !== noNumber) this.#nodes[number] ??= node;
    return number;
  }

  #shownName({ name }: End): string | undefined {
    const { dimensions, privacy } = this.#settings;
    if (!dimensions.nodes) return undefined;
    const shown = privacyOf(privacy).node(name);
    return shown === undefined ? undefined : boundedLabel(shown);
  }

  #shownIdentity({ identity }: End): Identity | undefined {
    if (identity === undefined) return undefined;
    const { user, tags, os } = identity;
    const shown = user === "" ? "" : (privacyOf(this.#settings.privacy).value("emails", user) ?? "");
    return { user: boundedLabel(shown), tags: boundedLabel(tags), os: boundedLabel(os) };
  }

  #classNumber(code: number, ports: number): number {
    if (ports !== 0) return this.#findClass(code, ports);
    const slot = (code ^ (code >>> 10)) & (recentClasses - 1);
    if (this.#recentCodes[slot] === code) return this.#recentNumbers[slot] as number;
    if (isBare(code)) return bareClassOf(code);
    const number = this.#findClass(code, 0);
    // A class without room is not cached, so that each entry is counted as overflowed.
    if (number < bareClasses) return number;
    this.#recentCodes[slot] = code;
    this.#recentNumbers[slot] = number;
    return number;
  }

  #findClass(code: number, ports: number): number {
    const known = this.#classNumbers.find(code, ports);
    if (known !== noNumber) return known;
    const number = bareClasses + this.#classNumbers.size;
    const hasRoom = ports === 0 || this.#classNumbers.size < maxPortClasses;
    if (!hasRoom || !this.#classNumbers.add(code, ports, number)) {
      this.#overflowed++;
      return ports === 0 ? bareClassOf(code) : this.#classNumber(code, 0);
    }
    const flowClass = isBare(code) ? this.#classAt(bareClassOf(code)) : flowClassOf(code);
    this.#classes[number] = withPorts(flowClass, ports >>> 16, ports & 0xffff);
    return number;
  }

  #classAt(number: number): FlowClass {
    return (this.#classes[number] ??= flowClassOf(codeOfBareClass(number)));
  }

  /** The ports that are metric dimensions, source port in the upper 16 bits. A relay has a region instead of a port. */
  #portsOf(columns: FlowColumns, entry: number, code: number): number {
    const { sourcePort, destinationPort } = this.#settings.dimensions;
    const source = sourcePort ? (columns.sourcePort[entry] as number) : 0;
    const destination = destinationPort && !isRelayed(code) ? (columns.destinationPort[entry] as number) : 0;
    return ((source << 16) | destination) >>> 0;
  }

  #clear(): void {
    this.generation = ++lastGeneration;
    this.#texts.clear();
    for (const text of reservedTexts) this.#texts.numberOf(text);
    this.#nodes = [];
    const shown = this.#settings.dimensions.nodes ? otherNode : undefined;
    const key = `${marked(shown)}\u0000${marked(shown)}`;
    this.#pairs = [{ key, source: shown, destination: shown, identity: undefined }];
    this.#pairNumbers.clear();
    this.#classes = [];
    this.#classNumbers.clear();
    this.#recentCodes.fill(noCode);
    this.#edges.clear();
    // The others are set when an edge is added.
    this.#pairOf.fill(otherPair, 0, firstEdge);
    for (let number = 0; number < firstEdge; number++) this.#classOf[number] = number;
    this.sourceOf.fill(otherNumber, 0, firstEdge);
    this.peerOf.fill(peerByAddress, 0, firstEdge);
  }
}

/** Prefixed, so that absent differs from every text. */
function marked(text: string | undefined): string {
  return text === undefined ? "-" : `=${text}`;
}
