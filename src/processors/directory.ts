/** The directory of devices: what the API says about nodes, which no record can contradict. */

/** What the API says about one node. */
export interface Device {
  readonly nodeId: string;
  /** The first DNS label of its name, which is what people call it. */
  readonly label: string;
  /** Canonical text. */
  readonly addresses: readonly string[];
  readonly os: string;
  readonly user: string;
  /** Trimmed, unique, sorted. */
  readonly tags: readonly string[];
}

/** Plain data: the export worker gets a copy. */
export interface Directory {
  readonly byAddress: ReadonlyMap<string, Device>;
  readonly byNodeId: ReadonlyMap<string, Device>;
}

/** The directory of the moment; none until it has been read for the first time. */
export interface DirectoryHolder {
  current: Directory | undefined;
}

/** A directory of these devices. An address that two of them have belongs to the later one. */
export function directoryOf(devices: readonly Device[]): Directory {
  const byAddress = new Map<string, Device>();
  const byNodeId = new Map<string, Device>();
  for (const device of devices) {
    byNodeId.set(device.nodeId, device);
    for (const address of device.addresses) byAddress.set(address, device);
  }
  return { byAddress, byNodeId };
}
