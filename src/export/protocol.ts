/** In which encoding a destination is spoken to: JSON unless it turns out not to know it (VictoriaMetrics and VictoriaLogs do not). */
import type { Logger } from "../lib/logger.ts";
import type { Answer, Encoding, Signal } from "./answer.ts";
import type { Sender } from "./sender.ts";

export interface ProtocolOptions {
  readonly signal: Signal;
  readonly encoding: Encoding;
  /** The operator has chosen the encoding: it is never switched. */
  readonly isSet: boolean;
}

/** Writes the same content in either encoding. */
export type Encode = (encoding: Encoding) => Uint8Array;

/** A destination with an encoding that both sides know. 415 never comes out of it: it is settled here, or held. */
export interface Channel {
  readonly encoding: Encoding;
  /**
   * Sends what `encode` writes.
   * @throws whatever `encode` throws.
   */
  post(encode: Encode, stop: AbortSignal): Promise<Answer>;
}

const settingOf: Record<Encoding, string> = { json: "http/json", protobuf: "http/protobuf" };

export function createChannel(send: Sender, options: ProtocolOptions, logger: Logger): Channel {
  let encoding = options.encoding;
  let hasTakenAny = false;
  let hasNoticed = false;

  function notice(message: string, setting: Encoding): void {
    if (hasNoticed) return;
    hasNoticed = true;
    logger.warn(message, { signal: options.signal, remedy: `set otlp.protocol = "${settingOf[setting]}"` });
  }

  /** 415 always, and 400 to the first JSON request, may mean the encoding instead of the content. */
  function isDoubtful(answer: Answer, used: Encoding): boolean {
    if (answer.kind !== "rejected") return false;
    return answer.status === 415 || (answer.status === 400 && used === "json" && !hasTakenAny);
  }

  return {
    get encoding() {
      return encoding;
    },
    async post(encode, stop) {
      const used = encoding;
      const answer = await send(encode(used), used, stop);
      if (answer.kind === "taken") hasTakenAny = true;
      if (!isDoubtful(answer, used)) return answer;
      const other: Encoding = used === "json" ? "protobuf" : "json";
      if (options.isSet) {
        notice(`the backend may not speak OTLP in ${used}`, other);
        return held(answer);
      }
      const second = await send(encode(other), other, stop);
      switch (second.kind) {
        case "taken":
          hasTakenAny = true;
          if (encoding === used) {
            encoding = other;
            notice(`the backend does not speak OTLP in ${used}: using ${other}`, other);
          }
          return second;
        case "retry":
          return second;
        case "rejected":
          if (second.status === 415) return held(answer);
          return answer.kind === "rejected" && answer.status === 415 ? second : answer;
      }
    },
  };
}

/** A refused encoding is no record's fault: the request waits for the operator, like one with a wrong token. */
function held(answer: Answer): Answer {
  if (answer.kind !== "rejected" || answer.status !== 415) return answer;
  return { kind: "retry", why: answer.message };
}
