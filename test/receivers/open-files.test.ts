/** The program at its limit of open files: it does not spin, and whoever comes is served. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { flowEnvelope } from "../support/hec-server.ts";
import { head, sendRaw } from "../support/raw-http.ts";
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
      const port = Number(new URL(program.url).port);
      const descriptors = (): number => readdirSync(`/proc/${program.pid}/fd`).length;
      for (let count = 0; count < 400; count++) sockets.push(connect(port, "127.0.0.1").on("error", () => {}));
      while (descriptors() < 100) await Bun.sleep(5);
      const body = flowEnvelope(1);
      const headers = { authorization: `Splunk ${program.token}`, "content-length": body.length };
      // Before idle connections end by themselves, which takes 12 s.
      const request = [head("POST", "/services/collector/event", headers), body];
      expect((await sendRaw(port, request, { patienceMs: 10_000 })).status).toBe(200);
      expect(descriptors()).toBeLessThan(200);
    } finally {
      for (const socket of sockets) socket.destroy();
      await program.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  60_000,
);
