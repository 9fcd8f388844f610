/** The policy file of the simulated tailnet, before and after a typical change. */
import type { Random } from "./random.ts";

/** Both complete files, as in the audit log. */
export function policyChange(random: Random): readonly [before: string, after: string] {
  const lines = policy.split("\n");
  const [line, ...others] = random.pick(edits);
  const at = lines.indexOf(line);
  return [policy, lines.toSpliced(at, 1, ...random.pick(others)).join("\n")];
}

const policy = `{
  // Who may reach what. Changes need a review by group:ops → see the wiki ✓
  "groups": {
    "group:ops": ["alice@example.com", "bruno@example.com"],
    "group:dev": ["chiara@example.com", "dmitri@example.com", "elif@example.com"],
  },
  "tagOwners": {
    "tag:prod": ["group:ops"],
    "tag:monitoring": ["group:ops"],
  },
  "grants": [
    {"src": ["group:ops"], "dst": ["*"], "ip": ["*"]},
    {"src": ["group:dev"], "dst": ["tag:web"], "ip": ["tcp:443"]},
    {"src": ["tag:web"], "dst": ["tag:db"], "ip": ["tcp:5432"]},
    {"src": ["tag:monitoring"], "dst": ["*"], "ip": ["tcp:9100"]},
  ],
  "ssh": [
    {"action": "check", "src": ["group:ops"], "dst": ["tag:prod"], "users": ["autogroup:nonroot"]},
  ],
  "nodeAttrs": [
    {"target": ["autogroup:member"], "attr": ["mullvad"]},
  ],
}`;

/** A line of the policy, and its possible replacements. */
const edits: readonly (readonly [line: string, ...after: (readonly string[])[]])[] = [
  [
    `    {"src": ["group:dev"], "dst": ["tag:web"], "ip": ["tcp:443"]},`,
    [`    {"src": ["group:dev"], "dst": ["tag:web"], "ip": ["tcp:443", "tcp:8443"]},`],
    [
      `    {"src": ["group:dev"], "dst": ["tag:web"], "ip": ["tcp:443"]},`,
      `    {"src": ["group:dev"], "dst": ["tag:db"], "ip": ["tcp:5432"]},`,
    ],
    [],
  ],
  [
    `    "group:ops": ["alice@example.com", "bruno@example.com"],`,
    [`    "group:ops": ["alice@example.com", "bruno@example.com", "greta@example.com"],`],
    [`    "group:ops": ["alice@example.com"],`],
  ],
  [
    `    {"action": "check", "src": ["group:ops"], "dst": ["tag:prod"], "users": ["autogroup:nonroot"]},`,
    [`    {"action": "accept", "src": ["group:ops"], "dst": ["tag:prod"], "users": ["autogroup:nonroot", "root"]},`],
    [],
  ],
  [`    {"target": ["autogroup:member"], "attr": ["mullvad"]},`, []],
];
