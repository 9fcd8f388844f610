/** Serves release folders in the layout that install.sh expects, and misbehaves on demand. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";

export interface ReleaseServer {
  readonly url: string;
  /** From now on, a binary's body ends early. */
  breakOff(): void;
  /** From now on, every request gets this status. */
  answer(status: number): void;
  /** From now on, the second half of a binary's body is delayed this long. */
  delay(milliseconds: number): void;
  /** From now on, only half of a binary's body is sent. Resolves once that half has been sent. */
  stall(): Promise<void>;
  /** From now on, the file of this name never ends. */
  endless(name: string): void;
  stop(): Promise<void>;
}

/** `directory` contains one folder per version. */
export async function startReleaseServer(directory: string, latest: string): Promise<ReleaseServer> {
  let manner: "whole" | "break" | "stall" = "whole";
  let delayMs = 0;
  let everyStatus: number | undefined;
  let endlessName: string | undefined;
  const { promise: isStalled, resolve: tellStalled } = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    if (everyStatus !== undefined) {
      response.writeHead(everyStatus).end();
      return;
    }
    const [, version = latest, name = ""] =
      /^\/(?:download\/v([^/]+)|latest\/download)\/([^/]+)$/.exec(request.url ?? "") ?? [];
    if (name === endlessName) {
      response.writeHead(200);
      Readable.from(spaces()).pipe(response);
      return;
    }
    const path = join(directory, version, name);
    if (name === "" || !existsSync(path)) {
      response.writeHead(404).end();
      return;
    }
    const bytes = readFileSync(path);
    response.writeHead(200, { "content-length": bytes.length });
    if (manner === "whole" || !name.endsWith(".gz")) {
      response.write(bytes.subarray(0, bytes.length / 2));
      setTimeout(() => response.end(bytes.subarray(bytes.length / 2)), name.endsWith(".gz") ? delayMs : 0);
      return;
    }
    response.write(bytes.subarray(0, bytes.length / 2), () => {
      if (manner === "break") response.destroy();
      tellStalled();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    breakOff() {
      manner = "break";
    },
    delay(milliseconds) {
      delayMs = milliseconds;
    },
    answer(status) {
      everyStatus = status;
    },
    endless(name) {
      endlessName = name;
    },
    stall() {
      manner = "stall";
      return isStalled;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function* spaces(): Generator<string> {
  for (;;) yield " ".repeat(65_536);
}
