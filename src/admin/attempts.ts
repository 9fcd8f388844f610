/** Limits how fast anyone can guess the admin token, by address, so that nobody locks out others. */
import { isIPv6 } from "node:net";

export interface Attempts {
  /** Whether this peer has guessed wrong so often that its next guess is not looked at. */
  isExhausted(peer: string): boolean;
  failed(peer: string): void;
}

/** Wrong guesses that are free, and how many more there are per second. */
const burst = 20;
const perSecond = 1;

/** Networks that are remembered. */
const maxNetworks = 4096;

/** A token bucket for each network; `now` is in milliseconds and never goes back. */
export function createAttempts(now: () => number = () => performance.now()): Attempts {
  const buckets = new Map<string, { wrong: number; at: number }>();

  function levelOf(network: string): number {
    const bucket = buckets.get(network);
    if (bucket === undefined) return 0;
    return Math.max(0, bucket.wrong - ((now() - bucket.at) / 1000) * perSecond);
  }

  return {
    isExhausted: (peer) => levelOf(networkOf(peer)) > burst - 1,
    failed(peer) {
      const network = networkOf(peer);
      const wrong = levelOf(network) + 1;
      buckets.delete(network);
      buckets.set(network, { wrong, at: now() });
      const [oldest] = buckets.keys();
      if (buckets.size > maxNetworks && oldest !== undefined) buckets.delete(oldest);
    },
  };
}

/** One machine has all addresses of an IPv6 /64. */
function networkOf(peer: string): string {
  if (!isIPv6(peer)) return peer;
  const [head = "", tail] = peer.replace(/%.*$/, "").split("::", 2);
  const groups = head.split(":").filter(Boolean);
  const rest = (tail ?? "").split(":").filter(Boolean);
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length;
  return [...groups, ...Array.from({ length: zeros }, () => "0"), ...rest].slice(0, 4).join(":");
}
