/**
 * What the first bytes of a connection say about the server name. `invalid` covers everything that is not one plain
 * ClientHello; `hidden` is one with encrypted_client_hello, whose real name the proxy cannot see.
 */
export type ServerName =
  | { readonly kind: "more" | "absent" | "hidden" | "invalid" }
  | { readonly kind: "name"; readonly name: string };

const MAX_HELLO_BYTES = 16 * 1024;
const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME_EXTENSION = 0;
const ECH_EXTENSION = 0xfe0d;
const HOST_NAME_TYPE = 0;

class Malformed extends Error {}

/** Finds the server name in the first bytes of a connection, however records and chunks cut them. */
export class ServerNameReader {
  readonly #header: number[] = [];
  readonly #handshake = Buffer.allocUnsafe(MAX_HELLO_BYTES);
  #collected = 0;
  #recordLeft = 0;
  #total = 0;
  #answer: ServerName = { kind: "more" };

  /** The answer so far; once it is not `more` it stays. */
  push(bytes: Buffer): ServerName {
    try {
      for (let offset = 0; offset < bytes.length && this.#answer.kind === "more"; )
        offset += this.#take(bytes.subarray(offset));
    } catch (thrown) {
      if (!(thrown instanceof Malformed)) throw thrown;
      this.#answer = { kind: "invalid" };
    }
    return this.#answer;
  }

  #take(bytes: Buffer): number {
    const length = this.#recordLeft === 0 ? this.#takeHeader(bytes) : this.#takePayload(bytes);
    this.#total += length;
    if (this.#answer.kind === "more") assert(this.#total < MAX_HELLO_BYTES);
    return length;
  }

  #takeHeader(bytes: Buffer): number {
    const part = bytes.subarray(0, RECORD_HEADER_BYTES - this.#header.length);
    this.#header.push(...part);
    const [type, major, , high = 0, low = 0] = this.#header;
    assert(type === HANDSHAKE_RECORD && (major === undefined || major === 3));
    if (this.#header.length < RECORD_HEADER_BYTES) return part.length;
    this.#recordLeft = high * 256 + low;
    assert(this.#recordLeft > 0 && this.#recordLeft <= MAX_HELLO_BYTES);
    this.#header.length = 0;
    return part.length;
  }

  #takePayload(bytes: Buffer): number {
    const part = bytes.subarray(0, Math.min(this.#recordLeft, MAX_HELLO_BYTES - this.#collected));
    part.copy(this.#handshake, this.#collected);
    this.#collected += part.length;
    this.#recordLeft -= part.length;
    assert(this.#handshake[0] === CLIENT_HELLO);
    if (this.#collected < HANDSHAKE_HEADER_BYTES) return part.length;
    const end = HANDSHAKE_HEADER_BYTES + this.#handshake.readUIntBE(1, 3);
    assert(end <= MAX_HELLO_BYTES);
    if (this.#collected >= end) this.#answer = parseClientHello(this.#handshake.subarray(HANDSHAKE_HEADER_BYTES, end));
    return part.length;
  }
}

function parseClientHello(body: Buffer): ServerName {
  const cursor = new Cursor(body);
  cursor.take(2 + 32);
  cursor.takeVector(1);
  cursor.takeVector(2);
  cursor.takeVector(1);
  if (cursor.isAtEnd) return { kind: "absent" };
  const extensions = new Cursor(cursor.takeVector(2));
  assert(cursor.isAtEnd);
  let found: ServerName = { kind: "absent" };
  let isHidden = false;
  while (!extensions.isAtEnd) {
    const type = extensions.takeNumber(2);
    const data = extensions.takeVector(2);
    if (type === ECH_EXTENSION) isHidden = true;
    if (type !== SERVER_NAME_EXTENSION) continue;
    assert(found.kind === "absent");
    found = { kind: "name", name: readNameList(data) };
  }
  return isHidden ? { kind: "hidden" } : found;
}

/** Exactly one host name: with two, servers differ on which one counts. */
function readNameList(data: Buffer): string {
  const outer = new Cursor(data);
  const list = new Cursor(outer.takeVector(2));
  assert(outer.isAtEnd && list.takeNumber(1) === HOST_NAME_TYPE);
  const name = list.takeVector(2);
  assert(list.isAtEnd && name.length > 0);
  return name.toString("latin1");
}

class Cursor {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  take(length: number): Buffer {
    assert(this.#offset + length <= this.#bytes.length);
    this.#offset += length;
    return this.#bytes.subarray(this.#offset - length, this.#offset);
  }

  takeNumber(bytes: number): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  takeVector(lengthBytes: number): Buffer {
    return this.take(this.takeNumber(lengthBytes));
  }
}

function assert(condition: boolean): asserts condition {
  if (!condition) throw new Malformed();
}
