/** The limits of one receiver, from its settings. */

export interface LimitSettings {
  /** 0: the default; negative: no limit but `maxInflightBytes`. */
  readonly maxBodyBytes: number;
  readonly maxInflightBytes: number;
}

export interface BodyLimit {
  readonly maxBytes: number;
  /** What to tell the sender of more: the limit, and the setting that would change it. */
  readonly tooLarge: string;
}

export const defaultMaxBodyBytes = 64 * 1024 * 1024;

/** Requests whose body is being read, or waits for its turn, at once. */
export const maxReading = 256;

/** On the wire and after decompression, each. What all requests together may not hold, one may not either. */
export function bodyLimit({ maxBodyBytes, maxInflightBytes }: LimitSettings): BodyLimit {
  const ownBytes = maxBodyBytes === 0 ? defaultMaxBodyBytes : maxBodyBytes;
  const isOwn = ownBytes > 0 && ownBytes <= maxInflightBytes;
  const maxBytes = isOwn ? ownBytes : maxInflightBytes;
  const setting = isOwn ? "streaming.max_body_bytes" : "streaming.max_inflight_bytes";
  return { maxBytes, tooLarge: `The body is larger than ${maxBytes} bytes (${setting})` };
}
