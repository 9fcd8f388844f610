/** The load of the benchmark: stream bodies in several shapes. Byte counts are unique within a pass, so that the sink can tell which log records arrived. */

/**
 * - `stream`: like Tailscale's log streaming: 73 records of 8 entries, 600 nodes with a dozen peers each.
 * - `spaced`: the same with one space after a colon, so that the scanner gives up on every record.
 * - `one_record`: one record per body.
 * - `one_entry`: 2,000 records of one entry each, for filling the dedup window.
 * - `pairs_*`: 8 virtual entries per record, over that many distinct pairs of nodes.
 */
export type Shape = "stream" | "spaced" | "one_record" | "one_entry" | `pairs_${10 | 10_000 | 1_000_000}`;

/** Serials run from 1 to this; the serial of an entry is its number of sent bytes. */
export const serialLimit = 1 << 24;

/** Bodies of one shape. Records are numbered across all bodies, entries across all records. */
export interface Load {
  readonly recordsPerBody: number;
  readonly entriesPerRecord: number;
  readonly entriesPerBody: number;
  /** The envelopes of one body, in order; a body is their concatenation. */
  envelopes(body: number): readonly string[];
  /** An envelope that is in none of the first `bodies` bodies, different for each `number`. */
  extraEnvelope(bodies: number, number: number): string;
}

interface RecordShape {
  readonly recordsPerBody: number;
  readonly entriesPerRecord: number;
  readonly nodes: number;
  envelopeOf(record: number, firstWindowMs: number): string;
}

/** `endMs`: epoch milliseconds; the windows of all `bodies` bodies end before it. */
export function createLoad(shape: Shape, bodies: number, endMs: number): Load {
  const { recordsPerBody, entriesPerRecord, nodes, envelopeOf } = recordShapeOf(shape);
  const windows = Math.ceil((bodies * recordsPerBody + 16) / nodes);
  const firstWindowMs = endMs - (windows + 4) * windowMs;
  return {
    recordsPerBody,
    entriesPerRecord,
    entriesPerBody: recordsPerBody * entriesPerRecord,
    envelopes: (body) =>
      Array.from({ length: recordsPerBody }, (_, at) => envelopeOf(body * recordsPerBody + at, firstWindowMs)),
    extraEnvelope: (count, number) => envelopeOf(count * recordsPerBody + number, firstWindowMs),
  };
}

/**
 * Turns a body into that of a later pass, 1 to 99,999: its windows begin at other nanoseconds, so that the records are new but
 * have the same entries. The first pass uses nanoseconds above that.
 */
export function laterPass(text: string, pass: number): string {
  return text.replace(/\d{6}(?=Z")/g, String(pass).padStart(6, "0"));
}

/** The sent bytes of an entry: different for every entry below `serialLimit`, and never zero. */
export function txBytesOf(entry: number): number {
  return 1 + (Math.imul(entry, 10_368_889) & (serialLimit - 1));
}

/** The sums over the entries from `first` up to `end` (exclusive). */
export function sumsOfEntries(first: number, end: number): { readonly txBytes: number; readonly rxBytes: number } {
  let [txBytes, rxBytes] = [0, 0];
  for (let entry = first; entry < end; entry++) {
    txBytes += txBytesOf(entry);
    rxBytes += rxBytesOf(entry);
  }
  return { txBytes, rxBytes };
}

const windowMs = 5000;
const nodeCount = 600;
const peersOfNode = 12;

function recordShapeOf(shape: Shape): RecordShape {
  const stream = { recordsPerBody: 73, entriesPerRecord: 8, nodes: nodeCount };
  switch (shape) {
    case "stream":
      return { ...stream, envelopeOf: streamEnvelope };
    case "spaced":
      return { ...stream, envelopeOf: (record, at) => streamEnvelope(record, at).replace('"event":', '"event": ') };
    case "one_record":
      return { ...stream, recordsPerBody: 1, envelopeOf: streamEnvelope };
    case "one_entry":
      return { recordsPerBody: 2000, entriesPerRecord: 1, nodes: nodeCount, envelopeOf: oneEntryEnvelope };
    case "pairs_10":
      return { ...stream, nodes: 1000, envelopeOf: pairsEnvelope(1, 10) };
    case "pairs_10000":
      return { ...stream, nodes: 1000, envelopeOf: pairsEnvelope(100, 100) };
    case "pairs_1000000":
      return { ...stream, nodes: 1000, envelopeOf: pairsEnvelope(1000, 1000) };
  }
}

interface BenchNode {
  readonly nodeId: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly publicEndpoint: string;
  /** As JSON text. */
  readonly description: string;
}

const roles = ["web", "db", "cache", "worker", "build", "edge", "laptop", "phone"] as const;
const nodes: BenchNode[] = [];

/** Creates nodes as needed, once and in order. */
function nodeAt(index: number): BenchNode {
  while (nodes.length <= index) nodes.push(nodeOf(nodes.length));
  return nodes[index] as BenchNode;
}

function nodeOf(index: number): BenchNode {
  const role = roles[index % roles.length] ?? "web";
  const name = `${role}-${Math.floor(index / roles.length) + 1}`;
  const nodeId = `n${name.replace("-", "").toUpperCase()}CNTRL`;
  const [high, low] = [1 + Math.floor(index / 250), 1 + (index % 250)];
  const ipv4 = `100.64.${high}.${low}`;
  const ipv6 = `fd7a:115c:a1e0::${high.toString(16)}:${low.toString(16)}`;
  const isPersonal = role === "laptop" || role === "phone";
  const description = JSON.stringify({
    nodeId,
    name: `${name}.tail1234.ts.net`,
    addresses: [ipv4, ipv6],
    os: role === "phone" ? "iOS" : isPersonal ? "macOS" : "linux",
    ...(isPersonal ? { user: `user${index % 90}@example.com` } : { tags: ["tag:prod", `tag:${role}`] }),
  });
  return { nodeId, ipv4, ipv6, publicEndpoint: `198.51.100.${low}:${41_641 + high}`, description };
}

/** One flow record: five virtual entries over two peers, one subnet entry, two physical ones. */
function streamEnvelope(record: number, firstWindowMs: number): string {
  const index = record % nodeCount;
  const node = nodeAt(index);
  const peer = (position: number) => peerOf(index, hash(record * 4 + position));
  const [first, second, router] = [peer(0), peer(1), peer(2)];
  const port = (position: number) => 32_768 + (hash(record * 16 + position) % 28_000);
  const internal = `10.20.${index & 15}.${1 + (hash(record) % 60)}`;
  let entry = record * 8;
  const counters = () => countersOf(entry++);
  const virtual = [
    `{"proto":6,"src":"${node.ipv4}:${port(0)}","dst":"${first.ipv4}:443",${counters()}}`,
    `{"proto":6,"src":"${node.ipv4}:${port(1)}","dst":"${first.ipv4}:5432",${counters()}}`,
    `{"proto":6,"src":"[${node.ipv6}]:${port(2)}","dst":"[${second.ipv6}]:6379",${counters()}}`,
    `{"proto":17,"src":"${node.ipv4}:${port(3)}","dst":"${second.ipv4}:53",${counters()}}`,
    `{"proto":6,"src":"${node.ipv4}:9100","dst":"${second.ipv4}:${port(4)}",${counters()}}`,
  ];
  const subnet = `{"proto":6,"src":"${node.ipv4}:${port(5)}","dst":"${internal}:22",${counters()}}`;
  const relay = `127.3.3.40:${1 + (hash(index) % 20)}`;
  const physical = [
    `{"src":"${first.ipv4}:0","dst":"${first.publicEndpoint}",${counters()}}`,
    `{"src":"${second.ipv4}:0","dst":"${hash(index) % 7 === 0 ? relay : second.publicEndpoint}",${counters()}}`,
  ];
  const traffic = `"virtualTraffic":[${virtual.join(",")}],"subnetTraffic":[${subnet}],"physicalTraffic":[${physical.join(",")}]`;
  const startMs = firstWindowMs + Math.floor(record / nodeCount) * windowMs + index * 7;
  return envelope(record, startMs, node.nodeId, `${claims(node, [first, second, router])},${traffic}`);
}

/** The node ids differ from those of `streamEnvelope`, so a dedup window filled with these records holds none of its windows. */
function oneEntryEnvelope(record: number, firstWindowMs: number): string {
  const index = record % nodeCount;
  const { nodeId, ipv4 } = nodeAt(index);
  const { ipv4: peer } = peerOf(index, hash(record));
  const entry = `{"proto":6,"src":"${ipv4}:${32_768 + (hash(record) % 28_000)}","dst":"${peer}:443",${countersOf(record)}}`;
  const startMs = firstWindowMs + Math.floor(record / nodeCount) * windowMs + index * 7;
  return envelope(record, startMs, `k${nodeId}`, `"virtualTraffic":[${entry}]`);
}

/** Each source talks to each destination in turn, eight per record. */
function pairsEnvelope(sources: number, destinations: number) {
  const blocks = Math.ceil(destinations / 8);
  return (record: number, firstWindowMs: number): string => {
    const source = nodeAt(Math.floor(record / blocks) % sources);
    const first = (record % blocks) * 8;
    const peers = Array.from({ length: 8 }, (_, place) => nodeAt(sources + ((first + place) % destinations)));
    const traffic = peers.map(
      ({ ipv4 }, place) =>
        `{"proto":6,"src":"${source.ipv4}:${32_768 + (hash(record * 16 + place) % 28_000)}","dst":"${ipv4}:443",${countersOf(record * 8 + place)}}`,
    );
    const parts = `${claims(source, peers)},"virtualTraffic":[${traffic.join(",")}]`;
    return envelope(record, firstWindowMs + (record * windowMs) / 1000, source.nodeId, parts);
  };
}

function claims(source: BenchNode, peers: readonly BenchNode[]): string {
  return `"srcNode":${source.description},"dstNodes":[${peers.map(({ description }) => description).join(",")}]`;
}

function envelope(record: number, startMs: number, nodeId: string, parts: string): string {
  const nanoseconds = String(100_000 + (hash(record + 1) % 900_000));
  const time = (ms: number) => `${new Date(ms).toISOString().slice(0, 23)}${nanoseconds}Z`;
  const recordedMs = startMs + windowMs + 2100;
  const event = `{"nodeId":"${nodeId}","start":"${time(startMs)}","end":"${time(startMs + windowMs)}",${parts}}`;
  return `{"time":${(recordedMs + 400) / 1000},"event":${event},"fields":{"recorded":"${time(recordedMs)}"}}`;
}

function countersOf(entry: number): string {
  const txBytes = txBytesOf(entry);
  const rxBytes = rxBytesOf(entry);
  return `"txPkts":${1 + Math.floor(txBytes / 1180)},"txBytes":${txBytes},"rxPkts":${1 + Math.floor(rxBytes / 1180)},"rxBytes":${rxBytes}`;
}

function rxBytesOf(entry: number): number {
  return 64 + (hash(entry) % 2_000_000);
}

function peerOf(index: number, random: number): BenchNode {
  const offset = 1 + (hash(index * peersOfNode + (random % peersOfNode)) % (nodeCount - 1));
  return nodeAt((index + offset) % nodeCount);
}

/** A 32-bit hash: pseudo-random, and the same in every process. */
function hash(value: number): number {
  let mixed = Math.imul((value + 0x9e3779b9) ^ (value >>> 15), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
