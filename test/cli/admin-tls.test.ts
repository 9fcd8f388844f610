/** Commands and an admin listener with TLS, whose certificate is for another name and replaced while it runs. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import type { InstanceRecord } from "../../src/admin/instance-file.ts";
import { createHttpServer } from "../../src/http/server.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createAuthority, install } from "../support/certificates.ts";
import { timeoutMs, until } from "../support/wait.ts";
import { runToEnd, start, temporaryDirectory } from "./program.ts";

test(
  "commands trust only the instance's certificate, also after it is replaced",
  async () => {
    const home = temporaryDirectory();
    const authority = createAuthority(home);
    const files = { cert: join(home, "cert.pem"), key: join(home, "key.pem") };
    const [first, second] = [authority.issue("first", "DNS:node.tail1234.ts.net"), authority.issue("second")];
    install(first, files);
    const environment = {
      TS2OTEL_STREAMING__ENABLED: "true",
      TS2OTEL_STREAMING__LISTEN: "127.0.0.1:0",
      TS2OTEL_STREAMING__TOKEN: "a-token",
      TS2OTEL_ADMIN__LISTEN: "127.0.0.1:0",
      TS2OTEL_ADMIN__TOKEN: "the-admin-token",
      TS2OTEL_ADMIN__TLS__CERT_FILE: files.cert,
      TS2OTEL_ADMIN__TLS__KEY_FILE: files.key,
      TS2OTEL_STATE__PATH: join(home, "state"),
    };
    const program = start(home, ["run"], environment);
    const { admin } = JSON.parse(await program.line('"ready"')) as { admin: string };
    expect(admin).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const instanceFile = join(home, "state/instance.json");
    const record = (): InstanceRecord => JSON.parse(readFileSync(instanceFile, "utf8")) as InstanceRecord;
    const command = (...args: string[]) => runToEnd(home, args, environment);
    const status = await command("status");
    expect([status.code, status.stdout]).toEqual([0, expect.stringContaining(`${admin}, state`)]);
    expect(await command("healthcheck", "--ready")).toMatchObject({ code: 0 });
    // The same address by another name, as a user might write it.
    const port = new URL(admin).port;
    expect(await command("status", "--url", `https://localhost:${port}`)).toMatchObject({ code: 0 });
    const plain = await command("status", "--url", `http://localhost:${port}`);
    expect(plain.stderr).toContain("If the instance has admin.tls, use https:// in the address.");

    const before = record().certificates;
    install(second, files);
    await until(() => record().certificates?.[0] !== before?.[0]);
    expect(await command("status")).toMatchObject({ code: 0 });

    // Another program listens at the address in the file, with a certificate that is otherwise valid.
    const stranger = createHttpServer(
      { listen: "127.0.0.1:0", tls: { certFile: files.cert, keyFile: files.key } },
      {
        routes: [{ path: "/api/v1/status", methods: { GET: () => expect.unreachable() as never } }],
        logger: silentLogger,
      },
    );
    await stranger.start();
    writeFileSync(
      instanceFile,
      JSON.stringify({ ...record(), admin: `https://127.0.0.1:${stranger.port}`, certificates: before }),
    );
    const refused = await command("status");
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(`certificate of 127.0.0.1:${stranger.port} is not trusted`);
    await stranger.stop(0);

    program.process.kill("SIGTERM");
    await program.ended;
  },
  timeoutMs,
);
