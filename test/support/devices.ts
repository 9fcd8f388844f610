/** Devices as Tailscale's API returns them, from `test/fixtures/devices.json`. */
import { readFileSync } from "node:fs";
import type { Device } from "../../src/processors/directory.ts";

export const devices = JSON.parse(
  readFileSync(new URL("../fixtures/devices.json", import.meta.url), "utf8"),
) as readonly Device[];
