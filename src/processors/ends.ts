/**
 * Endpoints of connections: an address with its name, identity and log attributes, from the directory and the claims of one
 * record. Cached across records, so that a known endpoint costs one lookup.
 */
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { type AttributeSet, attributeSet, type LogAttributes } from "../catalogue/log-event.ts";
import { type Address, ipv4Text, ipv6Text, isOverlayIpv4, isOverlayIpv6 } from "../records/address.ts";
import type { NodeClaim } from "../records/flow/claims.ts";
import { addressIpv4, addressIpv6, addressText, type FlowColumns } from "../records/flow/columns.ts";
import { boundedAttributes, droppedText, privacyOf } from "./outgoing.ts";
import type { Device, Directory } from "./directory.ts";
import { externalName, nodeName, unknownName } from "./names.ts";
import type { ProcessorSettings } from "./settings.ts";
import { RecordClaims, sameIpv6 } from "./record-claims.ts";
import { hashOfAddress } from "./tables.ts";

/** User, tags (joined by commas) and OS of a node, from the directory or the record; each may be empty. */
export interface Identity {
  readonly user: string;
  readonly tags: string;
  readonly os: string;
}

/** An address, named by a claim or a device. */
export class End {
  /** True if many addresses share the name (`unknown` or `external`). */
  readonly isShared: boolean;
  readonly identity: Identity | undefined;
  /** Attributes as a source, as a destination, and as a destination without a source; created on first use. */
  source: AttributeSet | undefined = undefined;
  destination: AttributeSet | undefined = undefined;
  loneDestination: AttributeSet | undefined = undefined;
  /** Its text in log bodies, up to the port: `a.b.c.d:` or `[v6]:`. */
  bodyText: Uint8Array | undefined = undefined;
  /** Numbers of its node in an `EdgeBook` of that generation. */
  nodeGeneration = -1;
  sourceNode = 0;
  destinationNode = 0;

  /** `ipv4`: the address as a number, 0 for others. `ipv6`: in four words, empty for others. `name`: before privacy. */
  constructor(
    readonly tag: number,
    readonly ipv4: number,
    readonly ipv6: Uint32Array,
    readonly address: Address,
    readonly name: string,
    readonly claim: NodeClaim | undefined,
    device: Device | undefined,
    /** The cache it belongs to; a cleared cache gets a new number. */
    readonly memory: number,
  ) {
    this.isShared = name === unknownName || name === externalName;
    this.identity = device === undefined ? claim : { user: device.user, tags: device.tags.join(","), os: device.os };
  }
}

type Attributes = AttributesOfLog<"tailscale.network.flow">;

const encoder = new TextEncoder();
const overlayIpv6Prefix = "fd7a:115c:a1e0:";
const noWords = new Uint32Array(0);
const nowhere: Address = { text: "", family: "ipv4", isOverlay: false };

/** A set-associative cache, because an address may have several claims at a time. `sets` is a power of two. */
const sets = 4096;
const ways = 4;

/** Estimated maximum memory of the cache; beyond it the cache is cleared. */
const maxHeldBytes = 16 << 20;
const bytesOfEnd = 600;

let lastMemory = 0;

export class EndBook {
  readonly #settings: ProcessorSettings;
  readonly #claims = new RecordClaims();
  readonly #unknown: End;
  readonly #external: End;
  #columns: FlowColumns | undefined;
  #directory: Directory | undefined;
  /** True if a device of the directory has an IPv6 address outside the tailnet's range. */
  #hasForeignDevices = false;
  #ends: (End | undefined)[] = [];
  #nextWay = 0;
  #memory = 0;
  #heldBytes = 0;
  #resets = 0;

  constructor(settings: ProcessorSettings) {
    this.#settings = settings;
    this.#unknown = new End(addressText, 0, noWords, nowhere, unknownName, undefined, undefined, 0);
    this.#external = new End(addressText, 0, noWords, nowhere, externalName, undefined, undefined, 0);
    this.#forget();
  }

  /** Number of times since the last call that the cache was cleared because it was full. */
  takeResets(): number {
    const taken = this.#resets;
    this.#resets = 0;
    return taken;
  }

  /** Switches to a record, whose claims apply until the next call. A new directory takes effect here. */
  begin(columns: FlowColumns, record: number): void {
    this.#columns = columns;
    if (this.#directory !== this.#settings.directory.current) this.#forget();
    this.#claims.begin(columns, record);
  }

  /** The endpoint of an address of the record, given by its tag and column value; the address must be present. */
  of(tag: number, value: number): End {
    if (tag === addressIpv4) return this.#ofIpv4(value, this.#claims.findIpv4(value));
    const { addressTexts, ipv6 } = this.#columns as FlowColumns;
    if (tag === addressText) return this.#ofText(addressTexts[value] as string);
    return this.#ofIpv6(value, ipv6, this.#claims.findIpv6(value, ipv6));
  }

  /** Like `of`, but for metrics: unnamed addresses share one endpoint, so that a flood of them does not fill the cache. */
  named(tag: number, value: number): End {
    if (tag === addressText || !this.#settings.collapseExternal) return this.of(tag, value);
    if (tag === addressIpv4) {
      const claim = this.#claims.findIpv4(value);
      if (claim !== undefined || this.#directory?.byIpv4.has(value) === true) return this.#ofIpv4(value, claim);
      return isOverlayIpv4(value) ? this.#unknown : this.#external;
    }
    const { ipv6 } = this.#columns as FlowColumns;
    const claim = this.#claims.findIpv6(value, ipv6);
    const isOverlay = isOverlayIpv6(ipv6, value * 4);
    const mayBeDevice = isOverlay ? this.#directory !== undefined : this.#hasForeignDevices;
    if (claim !== undefined || mayBeDevice) return this.#ofIpv6(value, ipv6, claim);
    return isOverlay ? this.#unknown : this.#external;
  }

  #ofIpv4(ipv4: number, claim: NodeClaim | undefined): End {
    if (claim === undefined || claim.ipv4[0] !== ipv4) return this.#remembered(addressIpv4, ipv4, noWords, claim);
    const prepared = claim.preparedIpv4;
    if (prepared instanceof End && prepared.memory === this.#memory) return prepared;
    return (claim.preparedIpv4 = this.#remembered(addressIpv4, ipv4, noWords, claim));
  }

  #ofIpv6(index: number, ipv6: Uint32Array, claim: NodeClaim | undefined): End {
    if (claim === undefined || !sameIpv6(claim.ipv6, 0, ipv6, index))
      return this.#remembered(addressIpv6, index, ipv6, claim);
    const prepared = claim.preparedIpv6;
    if (prepared instanceof End && prepared.memory === this.#memory) return prepared;
    return (claim.preparedIpv6 = this.#remembered(addressIpv6, index, ipv6, claim));
  }

  sourceSet(end: End): AttributeSet {
    if (end.source !== undefined) return end.source;
    return (end.source = this.#set({
      "network.type": end.address.family,
      "source.address": end.address.text,
      "tailscale.src.node": end.name,
      ...identityLabels(end.identity, "tailscale.src"),
    }));
  }

  destinationSet(end: End): AttributeSet {
    if (end.destination !== undefined) return end.destination;
    return (end.destination = this.#set({
      "destination.address": end.address.text,
      "tailscale.dst.node": end.name,
      ...identityLabels(end.identity, "tailscale.dst"),
    }));
  }

  loneDestinationSet(end: End): AttributeSet {
    return (end.loneDestination ??= attributeSet({
      ...this.destinationSet(end).attributes,
      "network.type": end.address.family,
    }));
  }

  bodyText(end: End): Uint8Array {
    if (end.bodyText !== undefined) return end.bodyText;
    const { address } = end;
    const shown = privacyOf(this.#settings.privacy).address(address) ?? droppedText;
    return (end.bodyText = encoder.encode(address.family === "ipv6" ? `[${shown}]:` : `${shown}:`));
  }

  #set(attributes: Attributes): AttributeSet {
    return attributeSet(boundedAttributes(privacyOf(this.#settings.privacy).attributes(attributes as LogAttributes)));
  }

  #remembered(tag: number, value: number, ipv6: Uint32Array, claim: NodeClaim | undefined): End {
    const ends = this.#ends;
    const first = (hashOfAddress(tag, value, ipv6) & (sets - 1)) * ways;
    for (let way = first; way < first + ways; way++) {
      const end = ends[way];
      if (end === undefined || end.tag !== tag) continue;
      if (tag === addressIpv4 ? end.ipv4 !== value : !sameIpv6(end.ipv6, 0, ipv6, value)) continue;
      if (end.claim === claim || saysTheSame(end.claim, claim)) return end;
    }
    const end = this.#create(tag, value, ipv6, claim);
    this.#hold(end);
    this.#nextWay = (this.#nextWay + 1) & (ways - 1);
    this.#ends[first + this.#nextWay] = end;
    return end;
  }

  #create(tag: number, value: number, ipv6: Uint32Array, claim: NodeClaim | undefined): End {
    if (tag === addressIpv4) {
      const address: Address = { text: ipv4Text(value), family: "ipv4", isOverlay: isOverlayIpv4(value) };
      return this.#named(tag, value, noWords, address, claim, this.#directory?.byIpv4.get(value));
    }
    const words = ipv6.slice(value * 4, value * 4 + 4);
    const address: Address = { text: ipv6Text(words, 0), family: "ipv6", isOverlay: isOverlayIpv6(words, 0) };
    return this.#named(tag, 0, words, address, claim, this.#directory?.byText.get(address.text));
  }

  #named(
    tag: number,
    ipv4: number,
    ipv6: Uint32Array,
    address: Address,
    claim: NodeClaim | undefined,
    device: Device | undefined,
  ): End {
    const unnamed = address.isOverlay ? unknownName : externalName;
    const name = nodeName(device, claim, this.#settings) ?? (this.#settings.collapseExternal ? unnamed : address.text);
    return new End(tag, ipv4, ipv6, address, name, claim, device, this.#memory);
  }

  /** Addresses with a zone, which are rare and never named by a claim, are not cached. */
  #ofText(text: string): End {
    const address: Address = { text, family: "ipv6", isOverlay: text.startsWith(overlayIpv6Prefix) };
    return this.#named(addressText, 0, noWords, address, undefined, this.#directory?.byText.get(text));
  }

  /** Accounts for the memory of an endpoint and its attributes. */
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
    this.#memory = ++lastMemory;
    this.#directory = this.#settings.directory.current;
    const texts = [...(this.#directory?.byText.keys() ?? [])];
    this.#hasForeignDevices = texts.some((text) => !text.startsWith(overlayIpv6Prefix));
    this.#ends = new Array<End | undefined>(sets * ways).fill(undefined);
    this.#heldBytes = 0;
  }
}

/** True if two claims give the same attributes. */
function saysTheSame(one: NodeClaim | undefined, other: NodeClaim | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return one.label === other.label && one.user === other.user && one.os === other.os && one.tags === other.tags;
}

/** Attributes of an identity, without empty ones. */
export function identityLabels(
  identity: Identity | undefined,
  prefix: "tailscale.src" | "tailscale.dst",
): Record<string, string> {
  const labels: Record<string, string> = {};
  if (identity === undefined) return labels;
  if (identity.user !== "") labels[`${prefix}.user`] = identity.user;
  if (identity.tags !== "") labels[`${prefix}.tags`] = identity.tags;
  if (identity.os !== "") labels[`${prefix}.os`] = identity.os;
  return labels;
}
