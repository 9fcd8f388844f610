/** From the API's devices to those of the directory of names. */
import type { Device } from "../processors/directory.ts";
import { parseAddress } from "../records/address.ts";
import type { ApiDevice } from "./answers.ts";

/** Those with a node id; without one nothing could ever refer to it. Addresses that are none are left out. */
export function directoryDevices(devices: readonly ApiDevice[]): readonly Device[] {
  return devices.flatMap(({ nodeId = "", name = "", addresses, os = "", user = "", tags }) =>
    nodeId === ""
      ? []
      : [
          {
            nodeId,
            label: name.split(".", 1)[0] ?? "",
            addresses: (addresses ?? []).flatMap((text) => parseAddress(text)?.text ?? []),
            os,
            user,
            tags: [...new Set((tags ?? []).map((tag) => tag.trim()))].filter((tag) => tag !== "").toSorted(),
          },
        ],
  );
}
