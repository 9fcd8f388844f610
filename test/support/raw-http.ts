/** Sends raw HTTP over a socket, for requests that no proper client would send. */
import { connect } from "node:net";

export interface RawAnswer {
  /** 0 without a response. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RawOptions {
  /** Host to connect to. */
  readonly host?: string;
  /** Ends the client's side of the connection after the last piece. */
  readonly endsAfter?: boolean;
  /** `answered`: waits for a complete response or the end of the connection; `closed`: for the server to close it. */
  readonly until?: "answered" | "closed";
}

/**
 * Sends the pieces in order, awaiting those that are functions, and returns the response. The test's own timeout bounds the
 * wait.
 */
export async function sendRaw(
  port: number,
  pieces: readonly (string | Uint8Array | (() => Promise<unknown>))[],
  { host = "127.0.0.1", endsAfter = false, until = "answered" }: RawOptions = {},
): Promise<RawAnswer> {
  const socket = connect({ port, host, allowHalfOpen: true });
  const received: Buffer[] = [];
  const text = (): string => Buffer.concat(received).toString("latin1");
  await new Promise<void>((resolve) => {
    socket.on("data", (data) => {
      received.push(Buffer.from(data));
      if (until === "answered" && isWhole(text())) resolve();
    });
    for (const end of ["end", "close", "error"]) socket.on(end, () => resolve());
    socket.on("connect", async () => {
      for (const piece of pieces) {
        if (socket.destroyed) return;
        if (typeof piece === "function") await piece();
        else socket.write(piece);
      }
      if (endsAfter) socket.end();
    });
  });
  socket.destroy();
  return parseAnswer(text());
}

export function head(method: string, path: string, headers: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries({ host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

function isWhole(text: string): boolean {
  const { status, headers, body } = parseAnswer(text);
  const hasWholeHead = finalAnswer(text).includes("\r\n\r\n");
  return hasWholeHead && status >= 200 && body.length >= Number(headers["content-length"] ?? 0);
}

/** Without preceding interim responses. */
function finalAnswer(text: string): string {
  return text.replace(/^(?:HTTP\/1\.1 1\d\d[^]*?\r\n\r\n)+/, "");
}

function parseAnswer(text: string): RawAnswer {
  const [start = "", ...rest] = finalAnswer(text).split("\r\n\r\n");
  const [statusLine = "", ...lines] = start.split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  return { status: Number(statusLine.split(" ")[1] ?? 0), headers, body: rest.join("\r\n\r\n") };
}
