/** The encoding of a destination: tried once, then kept; never switched against the operator. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Encoding } from "../../src/export/answer.ts";
import { type Channel, createChannel } from "../../src/export/protocol.ts";
import { createSender } from "../../src/export/sender.ts";
import type { Logger } from "../../src/lib/logger.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { destinationAt } from "./delivery.ts";

let sink: OtlpSink;
let warnings: string[];
const never = new AbortController().signal;

beforeEach(async () => {
  sink = await startOtlpSink();
  warnings = [];
});

afterEach(() => sink.stop());

function channel({ encoding = "json" as Encoding, isSet = false } = {}): Channel {
  const say = (message: string, fields?: object) => void warnings.push(`${message} ${JSON.stringify(fields)}`);
  const logger: Logger = { debug: say, info: say, warn: say, error: say };
  const send = createSender(destinationAt(sink.url), { fetch, clock: Date.now, onAnswer() {} });
  return createChannel(send, { signal: "logs", encoding, isSet }, logger);
}

const empty = (encoding: Encoding) => (encoding === "json" ? new TextEncoder().encode("{}") : new Uint8Array(0));
const encodings = () => sink.requests.map(({ encoding }) => encoding);

describe("a backend that does not speak JSON", () => {
  test("is spoken to in protobuf from then on, and the remedy is logged once", async () => {
    sink.behave(() => ({ kind: "refuse_json" }));
    const destination = channel();
    for (let i = 0; i < 3; i++) expect(await destination.post(empty, never)).toEqual({ kind: "taken" });
    expect(encodings()).toEqual(["json", "protobuf", "protobuf", "protobuf"]);
    expect(destination.encoding).toBe("protobuf");
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("http/protobuf");
  });

  test("is told by 415 at any time", async () => {
    const destination = channel();
    await destination.post(empty, never);
    sink.behave(({ encoding }) => (encoding === "json" ? { kind: "status", status: 415 } : { kind: "take" }));
    expect(await destination.post(empty, never)).toEqual({ kind: "taken" });
    expect(destination.encoding).toBe("protobuf");
  });

  test("is not spoken to otherwise when the operator has set JSON: 415 is held, 400 stays a refusal", async () => {
    const destination = channel({ isSet: true });
    sink.behave(() => ({ kind: "status", status: 415 }));
    expect(await destination.post(empty, never)).toEqual({ kind: "retry", why: "HTTP 415" });
    sink.behave(() => ({ kind: "refuse_json" }));
    expect(await destination.post(empty, never)).toMatchObject({ kind: "rejected", status: 400 });
    expect(encodings()).toEqual(["json", "json"]);
    expect(warnings).toHaveLength(1);
  });
});

describe("a refusal that is not about the encoding", () => {
  test("400 to both at first stays a refusal in JSON", async () => {
    sink.behave(() => ({ kind: "status", status: 400, body: "bad" }));
    const destination = channel();
    expect(await destination.post(empty, never)).toEqual({ kind: "rejected", status: 400, message: "HTTP 400: bad" });
    expect(destination.encoding).toBe("json");
    expect(warnings).toEqual([]);
  });

  test("400 after JSON was taken is not doubted", async () => {
    const destination = channel();
    await destination.post(empty, never);
    sink.behave(() => ({ kind: "status", status: 400 }));
    expect(await destination.post(empty, never)).toMatchObject({ kind: "rejected", status: 400 });
    expect(encodings()).toEqual(["json", "json"]);
  });

  test("415 in both is held", async () => {
    sink.behave(() => ({ kind: "status", status: 415 }));
    expect(await channel().post(empty, never)).toEqual({ kind: "retry", why: "HTTP 415" });
    expect(encodings()).toEqual(["json", "protobuf"]);
  });
});
