/** What both runtimes must do with compressed bodies. When run as a program, it prints one line per case. */
import { Buffer } from "node:buffer";
import process from "node:process";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { type Compression, decompress, decompressAtOnce } from "../../src/runtime/decompress.ts";

export interface DecompressionCase {
  readonly name: string;
  /** `"as expected"`, or what happened instead. */
  run(): Promise<string>;
}

export function decompressionCases(): DecompressionCase[] {
  const text = Buffer.from("one two three ".repeat(20_000));
  return (["gzip", "zstd"] as const).flatMap((compression) => {
    const compress = compression === "gzip" ? gzipSync : zstdCompressSync;
    const one = compress(text);
    const noise = compress(Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7919) % 251)));
    const inflates = (name: string, input: Buffer, bytes: number): DecompressionCase => ({
      name: `${compression}: ${name}`,
      run: async () => ((await inflatedBytes(input, compression)) === bytes ? "as expected" : "another size"),
    });
    const fails = (name: string, input: Buffer): DecompressionCase => ({
      name: `${compression}: ${name}`,
      run: () =>
        inflatedBytes(input, compression).then(
          (bytes) => `took ${bytes} bytes`,
          () => "as expected",
        ),
    });
    const atOnce = (name: string, input: Buffer, expected: Buffer | undefined): DecompressionCase => ({
      name: `${compression}: at once, ${name}`,
      async run() {
        const content = decompressAtOnce([input.subarray(0, 3), input.subarray(3)], compression)?.content;
        return (expected === undefined ? content === undefined : content !== undefined && expected.equals(content))
          ? "as expected"
          : `${content?.length} bytes`;
      },
    });
    return [
      atOnce("one member", one, text),
      atOnce("an empty member", compress(Buffer.alloc(0)), Buffer.alloc(0)),
      atOnce("two members", Buffer.concat([one, one]), undefined),
      atOnce("garbage after it", Buffer.concat([one, Buffer.from("garbage")]), undefined),
      atOnce("cut by one byte", one.subarray(0, -1), undefined),
      atOnce("more than it may hold", compress(Buffer.alloc(1_048_577)), undefined),
      ...[1, 200, 255, 256, 257, 65_791, 65_792, 65_793, 1_048_576].map((bytes) => {
        const content = Buffer.alloc(bytes, "abc");
        return atOnce(`${bytes} bytes`, compress(content), content);
      }),
      inflates("one member", one, text.length),
      inflates(
        "several members",
        Buffer.concat([one, noise, compress(Buffer.alloc(0)), one]),
        text.length * 2 + 300_000,
      ),
      inflates("an empty member", compress(Buffer.alloc(0)), 0),
      fails("nothing", Buffer.alloc(0)),
      fails("no compression at all", Buffer.from('{"a":1}')),
      fails("cut in the header", one.subarray(0, 5)),
      fails("cut in the middle", noise.subarray(0, noise.length >> 1)),
      fails("cut by one byte", one.subarray(0, -1)),
      fails("a second member cut", Buffer.concat([one, one.subarray(0, 20)])),
      fails("garbage after it", Buffer.concat([one, Buffer.from("garbage")])),
      ...(compression === "zstd" ? windowCases() : []),
      {
        name: `${compression}: a bomb gives small pieces, and stops when nobody reads on`,
        async run() {
          let bytes = 0;
          for await (const piece of decompress([compress(Buffer.alloc(64 << 20))], compression)) {
            if (piece.byteLength > 1 << 20) return `a piece of ${piece.byteLength} bytes`;
            bytes += piece.byteLength;
            if (bytes > 4 << 20) return "as expected";
          }
          return "ended";
        },
      },
    ];
  });
}

/** A decoder would allocate the window of every frame, even of a later frame or one with less content. */
function windowCases(): DecompressionCase[] {
  const frame = (windowLog: number): Buffer => {
    const data = zstdCompressSync(Buffer.alloc(1000, "abc"), { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
    data[5] = (windowLog - 10) << 3;
    return data;
  };
  const single = zstdCompressSync(Buffer.alloc(9 << 20, "abc"), { params: { [constants.ZSTD_c_windowLog]: 24 } });
  const inputs: readonly [name: string, input: Buffer, expected: string][] = [
    ["8 MiB", frame(23), "1000 bytes"],
    ["16 MiB", frame(24), "WindowTooLarge"],
    ["128 MiB in the second frame", Buffer.concat([frame(23), frame(27)]), "WindowTooLarge"],
    ["9 MiB in a single segment", single, "WindowTooLarge"],
  ];
  return inputs.map(([name, input, expected]) => ({
    name: `zstd: a window of ${name}`,
    async run() {
      const found = await inflatedBytes(input, "zstd").then(
        (bytes) => `${bytes} bytes`,
        (error: Error) => error.constructor.name,
      );
      return found === expected ? "as expected" : found;
    },
  }));
}

async function inflatedBytes(input: Buffer, compression: Compression): Promise<number> {
  const chunks = [input.subarray(0, 3), input.subarray(3, 1000), input.subarray(1000)];
  let bytes = 0;
  for await (const piece of decompress(chunks, compression)) bytes += piece.byteLength;
  return bytes;
}

if (import.meta.main)
  for (const { name, run } of decompressionCases()) process.stdout.write(`${name}: ${await run()}\n`);
