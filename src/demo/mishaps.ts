/** Generates what goes wrong in every real tailnet: records that cannot be parsed, records of unknown kinds, and one that the backend refuses. */
import { timeText } from "./wire.ts";
import { windowMs } from "./flows.ts";
import { type Tailnet, tailnetDomain } from "./tailnet.ts";

/** The actor of the log records that the demo's own backend refuses. */
export const unwelcome = "unwelcome@example.com";

/** One window in this many has a broken record, and one in this many a record that the backend refuses. */
const windowsPerMishap = 12;
const windowsPerRefusal = 60;

/** The mishaps of a window, as values of a stream body; most windows have none. */
export function mishapsIn({ nodes }: Tailnet, window: number): readonly object[] {
  const at = window * windowMs;
  const mishaps: object[] = [];
  if (window % windowsPerMishap === 0) {
    const number = window / windowsPerMishap;
    const event = broken[number % broken.length]?.(at, nodes[number % nodes.length]?.description ?? {});
    mishaps.push({ time: at / 1000, event, fields: { recorded: timeText(at, 0) } });
  }
  if (window % windowsPerRefusal === 7) mishaps.push({ time: at / 1000, event: refused(window) });
  return mishaps;
}

const broken: readonly ((at: number, node: { readonly nodeId?: string; readonly name?: string }) => object)[] = [
  // A clock that is not set.
  (at, { nodeId }) => ({ nodeId, start: "yesterday", end: timeText(at, 0), virtualTraffic: [entry(1200)] }),
  // A different version of the format.
  (at) => ({ eventGroupID: `g${at}`, origin: "CONFIG_API", actor: "alice@example.com", target: {}, action: "UPDATE" }),
  // A counter that has overflowed.
  (at, { nodeId }) => ({
    nodeId,
    start: timeText(at, 0),
    end: timeText(at + windowMs, 0),
    virtualTraffic: [entry(-2_147_483_648)],
  }),
  // Something that is not a Tailscale log.
  (at, { name }) => ({ kind: "ssh-session", host: name ?? tailnetDomain, begun: timeText(at, 0), seconds: 42 }),
];

function entry(txBytes: number) {
  return { proto: 6, src: "100.64.1.10:40000", dst: "100.64.1.11:443", txPkts: 1, txBytes };
}

function refused(number: number): object {
  return {
    eventGroupID: `unwelcome${number}`,
    origin: "ADMIN_CONSOLE",
    actor: { id: "uUNWELCOME1CNTRL", type: "USER", loginName: unwelcome, displayName: "Unwelcome Example" },
    target: { id: "T1CNTRL", name: "example.com", type: "TAILNET" },
    action: "LOGIN",
  };
}
