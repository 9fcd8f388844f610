/** Speaks HTTP by hand, for requests that no proper client would send. */
import { connect } from "node:net";

export interface RawAnswer {
  /** 0: none came. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The server closed the connection. */
  readonly isClosed: boolean;
}

export interface RawOptions {
  /** Host to connect to. */
  readonly host?: string;
  /** How long to wait for the server to close before looking at what came. */
  readonly patienceMs?: number;
  /** Ends our side of the connection after the last piece. */
  readonly endsAfter?: boolean;
}

/** Sends the pieces one after the other, waiting where a piece is a promise's maker, and gives what came back. */
export async function sendRaw(
  port: number,
  pieces: readonly (string | Uint8Array | (() => Promise<unknown>))[],
  { host = "127.0.0.1", patienceMs = 2000, endsAfter = false }: RawOptions = {},
): Promise<RawAnswer> {
  const socket = connect({ port, host, allowHalfOpen: true });
  const received: Buffer[] = [];
  const isClosed = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), patienceMs);
    socket.on("data", (data) => {
      received.push(Buffer.from(data));
      if (isWhole(Buffer.concat(received).toString("latin1"))) setTimeout(() => resolve(false), 50);
    });
    const end = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
    void (async () => {
      for (const piece of pieces) {
        if (typeof piece === "function") await piece();
        else if (!socket.destroyed) socket.write(piece);
      }
      if (endsAfter) socket.end();
    })();
  });
  socket.destroy();
  return { ...parseAnswer(Buffer.concat(received).toString("latin1")), isClosed };
}

export function head(method: string, path: string, headers: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries({ host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

function isWhole(text: string): boolean {
  const { status, headers, body } = parseAnswer(text);
  return status >= 200 && body.length >= Number(headers["content-length"] ?? 0) && headers["connection"] !== "close";
}

function parseAnswer(text: string): Omit<RawAnswer, "isClosed"> {
  const final = text.replace(/^HTTP\/1\.1 1\d\d[^]*?\r\n\r\n/, "");
  const [start = "", ...rest] = final.split("\r\n\r\n");
  const [statusLine = "", ...lines] = start.split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  return { status: Number(statusLine.split(" ")[1] ?? 0), headers, body: rest.join("\r\n\r\n") };
}
