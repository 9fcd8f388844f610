/**
 * The ends of connections: an address with its name, its identity and the attributes of its log records, as the claims of one
 * record and the directory give them. They are remembered across records, so that a known end costs a lookup.
 */
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { type AttributeSet, attributeSet, type LogAttributes } from "../catalogue/log-event.ts";
import { type Address, ipv4Text, ipv6Text, isOverlayIpv4, isOverlayIpv6 } from "../records/address.ts";
import type { NodeClaim } from "../records/flow/claims.ts";
import { addressIpv4, addressIpv6, addressText, type FlowColumns } from "../records/flow/columns.ts";
import { boundedAttributes } from "./bounds.ts";
import { type Device, type Directory, externalName, nodeName, type ProcessorSettings, unknownName } from "./names.ts";
import { droppedText, privacyOf } from "./privacy.ts";
import { RecordClaims, sameIpv6 } from "./record-claims.ts";
import { hashOfAddress, noNumber, TextTable } from "./tables.ts";

/** User, tags (joined by commas) and system of a node, as the directory or the record says; each may be empty. */
export interface Identity {
  readonly user: string;
  readonly tags: string;
  readonly os: string;
}

/** One address, named by one claim or device. */
export interface End {
  readonly tag: number;
  /** The IPv4 address as a number; 0 for others. */
  readonly ipv4: number;
  /** The IPv6 address in four words; empty for others. */
  readonly ipv6: Uint32Array;
  readonly claim: NodeClaim | undefined;
  readonly address: Address;
  /** Before privacy. */
  readonly name: string;
  /** The name is one that many addresses share. */
  readonly isShared: boolean;
  readonly identity: Identity | undefined;
  /** The attributes as a source, as a destination, and as a destination without a source; made when first asked for. */
  source: AttributeSet | undefined;
  destination: AttributeSet | undefined;
  loneDestination: AttributeSet | undefined;
  /** How a body shows it up to the port: `a.b.c.d:` or `[v6]:`. */
  bodyText: Uint8Array | undefined;
  /** Numbers of its node in an `EdgeBook` of that generation. */
  nodeGeneration: number;
  sourceNode: number;
  destinationNode: number;
}

type Attributes = AttributesOfLog<"tailscale.network.flow">;

const encoder = new TextEncoder();
const noWords = new Uint32Array(0);
const nowhere: Address = { text: "", family: "ipv4", isOverlay: false };

/** Sets of the cache, a power of two, and ends per set: an address may be claimed in several ways at a time. */
const sets = 4096;
const ways = 4;

/** Estimated bytes of all remembered ends; beyond it they are forgotten. */
const maxHeldBytes = 16 << 20;
const bytesOfEnd = 600;

/** IPv4 ends of the current record that are found without a search; a power of two. */
const recentEnds = 32;

/** Addresses with a zone that are remembered. */
const maxTextEnds = 1024;

export class EndBook {
  readonly #settings: ProcessorSettings;
  readonly #claims = new RecordClaims();
  readonly #unknown: End;
  readonly #external: End;
  #columns: FlowColumns | undefined;
  #directory: Directory | undefined;
  #ends: (End | undefined)[] = [];
  #nextWay = 0;
  /** By the address's last bits, the end that the record had there last; it counts if the stamp is the record's. */
  readonly #recent: (End | undefined)[] = new Array<End | undefined>(recentEnds).fill(undefined);
  readonly #recentStamps = new Float64Array(recentEnds);
  #stamp = 0;
  readonly #texts = new TextTable(maxTextEnds);
  #textEnds: End[] = [];
  #heldBytes = 0;
  #resets = 0;

  constructor(settings: ProcessorSettings) {
    this.#settings = settings;
    this.#unknown = newEnd(addressText, 0, noWords, undefined, nowhere, unknownName, undefined);
    this.#external = newEnd(addressText, 0, noWords, undefined, nowhere, externalName, undefined);
    this.#forget();
  }

  /** How often the ends were forgotten because they took too much memory, since the last call. */
  takeResets(): number {
    const taken = this.#resets;
    this.#resets = 0;
    return taken;
  }

  /** Turns to a record, whose claims count until the next call. A new directory takes effect here. */
  begin(columns: FlowColumns, record: number): void {
    this.#columns = columns;
    this.#stamp++;
    if (this.#directory !== this.#settings.directory.current) this.#forget();
    this.#claims.begin(columns, record);
  }

  /** The end of an address of the record, as `ends`, `source` and `destination` of the columns hold it; never absent. */
  of(tag: number, value: number): End {
    if (tag === addressIpv4) return this.#recentEnd(value) ?? this.#ofIpv4(value);
    const { addressTexts, ipv6 } = this.#columns as FlowColumns;
    return tag === addressText ? this.#ofText(addressTexts[value] as string) : this.#remembered(tag, value, ipv6);
  }

  /** The same for metrics, where unnamed IPv4 addresses need not be told apart: a flood of them costs nothing. */
  named(tag: number, value: number): End {
    if (tag !== addressIpv4 || !this.#settings.collapseExternal) return this.of(tag, value);
    const recent = this.#recentEnd(value);
    if (recent !== undefined) return recent;
    if (this.#directory?.byIpv4.has(value) === true) return this.#ofIpv4(value);
    if (this.#claims.find(tag, value, noWords) !== undefined) return this.#ofIpv4(value);
    return isOverlayIpv4(value) ? this.#unknown : this.#external;
  }

  #recentEnd(ipv4: number): End | undefined {
    const slot = ipv4 & (recentEnds - 1);
    if (this.#recentStamps[slot] !== this.#stamp) return undefined;
    const end = this.#recent[slot];
    return end?.ipv4 === ipv4 ? end : undefined;
  }

  #ofIpv4(ipv4: number): End {
    const end = this.#remembered(addressIpv4, ipv4, noWords);
    const slot = ipv4 & (recentEnds - 1);
    this.#recent[slot] = end;
    this.#recentStamps[slot] = this.#stamp;
    return end;
  }

  /** Attributes as a source. */
  sourceSet(end: End): AttributeSet {
    if (end.source !== undefined) return end.source;
    const attributes: Attributes = {
      "network.type": end.address.family,
      "source.address": end.address.text,
      "tailscale.src.node": end.name,
    };
    if (end.identity !== undefined) addIdentity(attributes, end.identity, "tailscale.src");
    return (end.source = this.#set(attributes));
  }

  /** Attributes as a destination. */
  destinationSet(end: End): AttributeSet {
    if (end.destination !== undefined) return end.destination;
    const attributes: Attributes = { "destination.address": end.address.text, "tailscale.dst.node": end.name };
    if (end.identity !== undefined) addIdentity(attributes, end.identity, "tailscale.dst");
    return (end.destination = this.#set(attributes));
  }

  /** Attributes as the destination of an entry that has no source. */
  loneDestinationSet(end: End): AttributeSet {
    return (end.loneDestination ??= attributeSet({
      ...this.destinationSet(end).attributes,
      "network.type": end.address.family,
    }));
  }

  /** How a body shows the end, up to its port. */
  bodyText(end: End): Uint8Array {
    return (end.bodyText ??= encoder.encode(this.#bodyText(end)));
  }

  #bodyText({ address }: End): string {
    const { privacy } = this.#settings;
    const shown = privacy === undefined ? address.text : (privacyOf(privacy).address(address) ?? droppedText);
    return address.family === "ipv6" ? `[${shown}]:` : `${shown}:`;
  }

  #set(attributes: Attributes): AttributeSet {
    const { privacy } = this.#settings;
    const all = attributes as LogAttributes;
    return attributeSet(boundedAttributes(privacy === undefined ? all : privacyOf(privacy).attributes(all)));
  }

  #remembered(tag: number, value: number, ipv6: Uint32Array): End {
    const claim = this.#claims.find(tag, value, ipv6);
    const ends = this.#ends;
    const first = (hashOfAddress(tag, value, ipv6) & (sets - 1)) * ways;
    for (let way = first; way < first + ways; way++) {
      const end = ends[way];
      if (end === undefined || end.tag !== tag) continue;
      if (tag === addressIpv4 ? end.ipv4 !== value : !sameIpv6(end.ipv6, 0, ipv6, value)) continue;
      if (end.claim === claim || saysTheSame(end.claim, claim)) return end;
    }
    const end = tag === addressIpv4 ? this.#createIpv4(value, claim) : this.#createIpv6(value, ipv6, claim);
    this.#hold(end);
    this.#nextWay = (this.#nextWay + 1) & (ways - 1);
    this.#ends[first + this.#nextWay] = end;
    return end;
  }

  #createIpv4(ipv4: number, claim: NodeClaim | undefined): End {
    const address: Address = { text: ipv4Text(ipv4), family: "ipv4", isOverlay: isOverlayIpv4(ipv4) };
    const device = this.#directory?.byIpv4.get(ipv4);
    return newEnd(addressIpv4, ipv4, noWords, claim, address, this.#nameOf(address, device, claim), device);
  }

  #createIpv6(index: number, ipv6: Uint32Array, claim: NodeClaim | undefined): End {
    const words = ipv6.slice(index * 4, index * 4 + 4);
    const address: Address = { text: ipv6Text(words, 0), family: "ipv6", isOverlay: isOverlayIpv6(words, 0) };
    const device = this.#directory?.byText.get(address.text);
    return newEnd(addressIpv6, 0, words, claim, address, this.#nameOf(address, device, claim), device);
  }

  #nameOf(address: Address, device: Device | undefined, claim: NodeClaim | undefined): string {
    const name = nodeName(device, claim, this.#settings);
    if (name !== undefined) return name;
    if (!this.#settings.collapseExternal) return address.text;
    return address.isOverlay ? unknownName : externalName;
  }

  /** Addresses with a zone, which no claim names. */
  #ofText(text: string): End {
    const known = this.#textEnds[this.#texts.numberOf(text)];
    if (known !== undefined) return known;
    const address: Address = { text, family: "ipv6", isOverlay: text.startsWith("fd7a:115c:a1e0:") };
    const device = this.#directory?.byText.get(text);
    const end = newEnd(addressText, 0, noWords, undefined, address, this.#nameOf(address, device, undefined), device);
    this.#hold(end);
    if (this.#texts.numberOf(text) === noNumber) {
      this.#texts.clear();
      this.#textEnds = [];
    }
    this.#textEnds[this.#texts.numberOf(text)] = end;
    return end;
  }

  /** Counts what an end takes with its attributes and their prepared forms. */
  #hold({ name, identity }: End): void {
    const characters =
      name.length + (identity === undefined ? 0 : identity.user.length + identity.tags.length + identity.os.length);
    if (this.#heldBytes > maxHeldBytes) {
      this.#forget();
      this.#resets++;
    }
    this.#heldBytes += bytesOfEnd + characters * 6;
  }

  #forget(): void {
    this.#directory = this.#settings.directory.current;
    this.#ends = new Array<End | undefined>(sets * ways).fill(undefined);
    this.#texts.clear();
    this.#textEnds = [];
    this.#heldBytes = 0;
  }
}

function newEnd(
  tag: number,
  ipv4: number,
  ipv6: Uint32Array,
  claim: NodeClaim | undefined,
  address: Address,
  name: string,
  device: Device | undefined,
): End {
  return {
    tag,
    ipv4,
    ipv6,
    claim,
    address,
    name,
    isShared: name === unknownName || name === externalName,
    identity: device === undefined ? claim : { user: device.user, tags: device.tags.join(","), os: device.os },
    source: undefined,
    destination: undefined,
    loneDestination: undefined,
    bodyText: undefined,
    nodeGeneration: -1,
    sourceNode: 0,
    destinationNode: 0,
  };
}

/** Two texts of a node that differ in what does not matter here, or one that was decoded twice. */
function saysTheSame(one: NodeClaim | undefined, other: NodeClaim | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return one.label === other.label && one.user === other.user && one.os === other.os && one.tags === other.tags;
}

function addIdentity(attributes: Attributes, identity: Identity, prefix: "tailscale.src" | "tailscale.dst"): void {
  if (identity.user !== "") attributes[`${prefix}.user`] = identity.user;
  if (identity.tags !== "") attributes[`${prefix}.tags`] = identity.tags;
  if (identity.os !== "") attributes[`${prefix}.os`] = identity.os;
}
