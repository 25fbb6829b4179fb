import { connect, type Socket } from "node:net";

/** What a server sent on one connection until it was closed. */
export interface RawAnswer {
  readonly text: string;
  /** Of the first answer; undefined when there was none. */
  readonly status: number | undefined;
}

/** A connection on which bytes are sent as they are. */
export class RawConnection implements Disposable {
  readonly socket: Socket;
  readonly closed: Promise<RawAnswer>;
  #text = "";

  private constructor(socket: Socket) {
    this.socket = socket;
    const { promise, resolve } = Promise.withResolvers<RawAnswer>();
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      this.#text += chunk;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve({ text: this.#text, status: readStatus(this.#text) }));
    this.closed = promise;
  }

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("connect", resolve).once("error", reject);
    await promise;
    return new RawConnection(socket);
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/**
 * Sends one request, byte by byte as given, and reads until the server closes; `Connection: close` is the caller's to
 * send.
 */
export async function sendRaw(url: string, text: string): Promise<RawAnswer> {
  using connection = await RawConnection.open(url);
  connection.send(text);
  return await connection.closed;
}

/** A request with a path that clients would clean up first. */
export async function askRaw(
  url: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body = "",
): Promise<RawAnswer> {
  const lines = Object.entries({ host: new URL(url).host, connection: "close", ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  const length = body === "" ? [] : [`content-length: ${Buffer.byteLength(body)}`];
  return await sendRaw(url, `${[`${method} ${path} HTTP/1.1`, ...lines, ...length].join("\r\n")}\r\n\r\n${body}`);
}

function readStatus(text: string): number | undefined {
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
  return status === undefined ? undefined : Number(status);
}
