/** The devices of the stand-in, as `GET /api/v2/tailnet/{t}/devices` returns them. */
import type { JsonObject } from "../../../src/records/types.ts";
import { type ApiAnswer, type ApiRequest, json, oneOf, onlyQuery } from "./answer.ts";

/** The properties of a device that tests choose; the other fields are made up and the same for all. */
export interface TailnetDevice {
  readonly nodeId: string;
  /** Includes the tailnet's domain: `web-1.tail1234.ts.net`. */
  readonly name: string;
  readonly addresses: readonly string[];
  readonly os?: string;
  readonly user?: string;
  readonly tags?: readonly string[];
}

/** @throws {ApiRefusal} */
export function devicesAnswer(devices: readonly TailnetDevice[], request: ApiRequest): ApiAnswer {
  onlyQuery(request, ["fields"]);
  const fields = oneOf("fields", request.query.get("fields") ?? "default", ["default", "all"]);
  return json({ devices: devices.map((device, index) => deviceObject(device, index, fields)) });
}

/** Only tagged devices have `tags`. Routes and connectivity are returned only if all fields are requested. */
function deviceObject(device: TailnetDevice, index: number, fields: "default" | "all"): JsonObject {
  const { nodeId, name, addresses, os = "linux", user = "", tags } = device;
  return {
    addresses,
    id: `${92_960_230_385 + index}`,
    nodeId,
    user,
    name,
    hostname: name.split(".")[0] ?? "",
    clientVersion: "1.96.1",
    updateAvailable: false,
    os,
    created: "2026-01-10T08:00:00Z",
    connectedToControl: true,
    keyExpiryDisabled: tags !== undefined,
    expires: "2026-12-31T08:00:00Z",
    authorized: true,
    isExternal: false,
    isEphemeral: false,
    machineKey: "mkey:00",
    nodeKey: "nodekey:00",
    blocksIncomingConnections: false,
    tailnetLockKey: "nlpub:00",
    tailnetLockError: "",
    ...(tags === undefined ? {} : { tags }),
    ...(fields === "all" ? { enabledRoutes: [], advertisedRoutes: [] } : {}),
  };
}
