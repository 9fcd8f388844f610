/** `bun run prove NAME`: runs proofs that take too long for every test run, before a release. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** By name: the script in this folder, and what it proves. */
const proofs: Readonly<Record<string, readonly [file: string, claim: string]>> = {
  release: [
    "release.ts",
    "every file of a release is what its name says: checksums, headers, code signatures; and installs",
  ],
  reproducible: [
    "reproducible.ts",
    "two builds of one commit, in different folders and at different times, give the same bytes",
  ],
  "user-spaces": ["user-spaces.ts", "the arm64 and musl binaries run here: version, a delivered request, the demo"],
  "first-minute": [
    "first-minute.ts",
    "in a root folder with a shell and curl: install, init, run, send, tail, within a minute; needs a release",
  ],
  windows: [
    "windows.ts",
    "the binary for Windows starts under Wine, delivers, and keeps its counters when it is killed",
  ],
  tailscaled: ["tailscaled.ts", "a real tailscaled gives certificates, and refuses them, as the program expects"],
  service: ["service.ts", "a real systemd starts, reloads and stops the service in its whole sandbox"],
  proxies: [
    "proxies.ts",
    "the Caddy and nginx configurations of docs/reach.md bring records and webhooks to the program",
  ],
  move: ["move.ts", "a journal of 1 GiB moves to PostgreSQL, killed once on the way, with equal sums on both sides"],
};

const [name = "", ...args] = process.argv.slice(2);
const proof = proofs[name];
if (proof === undefined) {
  const lines = Object.entries(proofs).map(([known, [, claim]]) => `  ${known.padEnd(14)} ${claim}\n`);
  process.stderr.write(`usage: bun run prove NAME\n\n${lines.join("")}`);
  process.exitCode = 64;
} else {
  const command = [join(import.meta.dirname, proof[0]), ...args];
  process.exitCode = spawnSync(process.execPath, command, { stdio: "inherit" }).status ?? 1;
}
