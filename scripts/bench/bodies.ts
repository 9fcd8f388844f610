/** The load of the benchmark: stream bodies of 73 flow records with 8 connection entries each, no two of them equal. */

export const recordsPerBody = 73;
export const entriesPerRecord = 8;
export const entriesPerBody = recordsPerBody * entriesPerRecord;

/** Every entry sends a number of bytes of its own, 1 to this, so that the sink can tell which entries arrived. */
export const serialLimit = 1 << 24;

/** The most bodies of one run: past it the numbers would repeat. One body's worth is kept for the first request. */
export const maxBodies = Math.floor(serialLimit / entriesPerBody) - 1;

export interface Load {
  /** The envelopes of one body, in order; a body is their concatenation. */
  envelopes(body: number): readonly string[];
  /** One envelope that belongs to none of the first `bodies` bodies. */
  extraEnvelope(bodies: number): string;
}

/** Bytes sent and received, summed over entries. */
export interface ByteSums {
  readonly txBytes: number;
  readonly rxBytes: number;
}

/** `endMs`: epoch milliseconds; the windows of `bodies` bodies end before it. */
export function createLoad(bodies: number, endMs: number): Load {
  const windows = Math.ceil((bodies * recordsPerBody + 1) / nodeCount);
  const firstWindowMs = endMs - (windows + 4) * windowMs;
  return {
    envelopes(body) {
      const first = body * recordsPerBody;
      return Array.from({ length: recordsPerBody }, (_, position) => envelopeOf(first + position, firstWindowMs));
    },
    extraEnvelope: (count) => envelopeOf(count * recordsPerBody, firstWindowMs),
  };
}

/** What the entry sends in bytes: different for every entry below `serialLimit`, and never zero. */
export function txBytesOf(entry: number): number {
  return 1 + (Math.imul(entry, 10_368_889) & (serialLimit - 1));
}

/** The sums over the entries of the records from `first` up to `end`. */
export function sumsOfRecords(first: number, end: number): ByteSums {
  let txBytes = 0;
  let rxBytes = 0;
  for (let entry = first * entriesPerRecord; entry < end * entriesPerRecord; entry++) {
    txBytes += txBytesOf(entry);
    rxBytes += rxBytesOf(entry);
  }
  return { txBytes, rxBytes };
}

const windowMs = 5000;

/** A large tailnet; each node has a dozen peers that it talks to again and again. */
const nodeCount = 600;
const peersOfNode = 12;
const peersOfRecord = 3;

const roles = ["web", "db", "cache", "worker", "build", "edge", "laptop", "phone"] as const;

interface BenchNode {
  readonly nodeId: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly publicEndpoint: string;
  /** As JSON text. */
  readonly description: string;
}

const nodes: readonly BenchNode[] = Array.from({ length: nodeCount }, (_, index) => nodeOf(index));

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
  return {
    nodeId,
    ipv4,
    ipv6,
    publicEndpoint: `198.51.100.${low}:${41_641 + high}`,
    description,
  };
}

/** One flow record: five virtual entries over two peers, one subnet entry, two physical ones. */
function envelopeOf(record: number, firstWindowMs: number): string {
  const index = record % nodeCount;
  const node = nodeAt(index);
  const startMs = firstWindowMs + Math.floor(record / nodeCount) * windowMs + index * 7;
  const peers = Array.from({ length: peersOfRecord }, (_, position) => peerOf(index, hash(record * 4 + position)));
  const [first, second, router] = [peers[0] ?? node, peers[1] ?? node, peers[2] ?? node];
  const port = (position: number) => 32_768 + (hash(record * 16 + position) % 28_000);
  const internal = `10.20.${index & 15}.${1 + (hash(record) % 60)}`;
  let entry = record * entriesPerRecord;
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
  const nanoseconds = String(hash(record + 1) % 1_000_000).padStart(6, "0");
  const event =
    `{"nodeId":"${node.nodeId}","start":"${timeText(startMs, nanoseconds)}","end":"${timeText(startMs + windowMs, nanoseconds)}",` +
    `"srcNode":${node.description},"dstNodes":[${first.description},${second.description},${router.description}],` +
    `"virtualTraffic":[${virtual.join(",")}],"subnetTraffic":[${subnet}],"physicalTraffic":[${physical.join(",")}]}`;
  const recordedMs = startMs + windowMs + 2100;
  return `{"time":${(recordedMs + 400) / 1000},"event":${event},"fields":{"recorded":"${timeText(recordedMs, nanoseconds)}"}}`;
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

function nodeAt(index: number): BenchNode {
  const node = nodes[index];
  if (node === undefined) throw new RangeError(`no node ${index}`);
  return node;
}

function timeText(millis: number, nanoseconds: string): string {
  return `${new Date(millis).toISOString().slice(0, 23)}${nanoseconds}Z`;
}

/** A 32-bit hash, so that what looks random is the same in every process. */
function hash(value: number): number {
  let mixed = Math.imul((value + 0x9e3779b9) ^ (value >>> 15), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
