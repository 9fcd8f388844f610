/** How a connection is given up, and the statement under way on it. */
import { connect } from "node:net";
import type { Client } from "pg";

/** What the server has told when the connection was made. */
interface Cancelable {
  readonly host: string;
  readonly port: number;
  readonly processID: number | null;
  readonly secretKey: number | null;
}

const cancelRequest = 80_877_102;
const limitMs = 5000;

/** Without a farewell, for which a server that hangs would have to listen. */
export function destroy(client: Client): void {
  const { connection } = client as unknown as { readonly connection: { readonly stream: { destroy(): void } } };
  connection.stream.destroy();
}

/**
 * Asks the server to give up a statement, over a connection of its own, as the protocol has it; poolers pass it on. Otherwise a
 * statement that waits for a lock keeps its place at the server after its connection is closed. Nobody waits for the answer.
 */
export function cancelStatement(client: Client): void {
  const { host, port, processID, secretKey } = client as unknown as Cancelable;
  if (processID === null || secretKey === null) return;
  const request = Buffer.alloc(16);
  [request.length, cancelRequest, processID, secretKey].forEach((word, place) =>
    request.writeInt32BE(word | 0, 4 * place),
  );
  const socket = connect(host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : { host, port });
  socket.setTimeout(limitMs, () => socket.destroy());
  socket.on("error", () => undefined);
  socket.unref();
  socket.end(request);
}
