/** Limits how fast anyone can guess the admin token, by address, so that nobody locks out others. */
import { isIPv6 } from "node:net";

/** Who guesses: an IP address, and how it named this listener. What a proxy on this machine passes on has a count of its own. */
export interface Guesser {
  readonly peer: string;
  readonly named: "this machine" | "another host";
}

/** Wrong guesses that are free, and how many more there are per second. */
const burst = 20;
const perSecond = 1;

/** Networks that are remembered. */
const maxNetworks = 4096;

/** A token bucket for each network; `now` is in milliseconds and never goes back. */
export function createAttempts(now: () => number = () => performance.now()) {
  const buckets = new Map<string, { wrong: number; at: number }>();

  function levelOf(network: string): number {
    const bucket = buckets.get(network);
    if (bucket === undefined) return 0;
    return Math.max(0, bucket.wrong - ((now() - bucket.at) / 1000) * perSecond);
  }

  return {
    /** Whether there were so many wrong guesses that the next one is not looked at. */
    isExhausted: (guesser: Guesser): boolean => levelOf(keyOf(guesser)) > burst - 1,
    failed(guesser: Guesser): void {
      const network = keyOf(guesser);
      const wrong = levelOf(network) + 1;
      buckets.delete(network);
      buckets.set(network, { wrong, at: now() });
      const [oldest] = buckets.keys();
      if (buckets.size > maxNetworks && oldest !== undefined) buckets.delete(oldest);
    },
  };
}

function keyOf({ peer, named }: Guesser): string {
  return `${networkOf(peer)} ${named}`;
}

/** One machine has all addresses of an IPv6 /64, and this one all of 127.0.0.0/8. */
function networkOf(peer: string): string {
  if (!isIPv6(peer)) return peer.startsWith("127.") ? "127.0.0.0/8" : peer;
  const [head = "", tail] = peer.replace(/%.*$/, "").split("::", 2);
  const groups = head.split(":").filter(Boolean);
  const rest = (tail ?? "").split(":").filter(Boolean);
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length;
  return [...groups, ...Array.from({ length: zeros }, () => "0"), ...rest].slice(0, 4).join(":");
}
