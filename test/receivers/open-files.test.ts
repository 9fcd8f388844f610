/** The program at its limit of open files: it does not spin, and whoever comes is served. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { flowEnvelope } from "../support/hec-server.ts";
import { startProgram } from "../support/running-program.ts";

const main = new URL("../../src/main.ts", import.meta.url).pathname;

test.skipIf(process.platform !== "linux")(
  "400 idle connections leave room under a limit of 200 open files, and a new sender is accepted at once",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "open-files-"));
    const program = await startProgram({
      command: ["sh", "-c", 'ulimit -n 200; exec "$0" "$@"', process.execPath, main],
      directory,
      endpoint: "http://127.0.0.1:9",
      encoding: "protobuf",
    });
    const sockets: Socket[] = [];
    try {
      const { port } = new URL(program.url);
      const opened = Array.from({ length: 400 }, () => {
        const socket = connect(Number(port), "127.0.0.1").on("error", () => {});
        sockets.push(socket);
        return new Promise((resolve) => socket.on("connect", resolve).on("close", resolve));
      });
      await Promise.all(opened);
      const headers = { authorization: `Splunk ${program.token}` };
      const answer = await fetch(program.url, { method: "POST", body: flowEnvelope(1), headers, keepalive: false });
      expect(answer.status).toBe(200);
      expect(readdirSync(`/proc/${program.pid}/fd`).length).toBeLessThan(200);
    } finally {
      for (const socket of sockets) socket.destroy();
      await program.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  60_000,
);
