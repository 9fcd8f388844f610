/** A bound on the bytes that all requests together may hold. Nobody waits for bytes: who cannot have them is told so at once. */

/** What one request holds. */
export interface Reservation {
  readonly bytes: number;
  /** `full`: others hold too much now. `impossible`: this request alone is past the bound. */
  grow(bytes: number): "ok" | "full" | "impossible";
  /** Gives everything back; safe twice. */
  release(): void;
}

export interface ByteBudget {
  readonly maxBytes: number;
  /** Held by all reservations. */
  readonly bytes: number;
  open(): Reservation;
}

export function createByteBudget(maxBytes: number): ByteBudget {
  let total = 0;
  return {
    maxBytes,
    get bytes() {
      return total;
    },
    open() {
      let own = 0;
      return {
        get bytes() {
          return own;
        },
        grow(bytes) {
          if (own + bytes > maxBytes) return "impossible";
          if (total + bytes > maxBytes) return "full";
          own += bytes;
          total += bytes;
          return "ok";
        },
        release() {
          total -= own;
          own = 0;
        },
      };
    },
  };
}
