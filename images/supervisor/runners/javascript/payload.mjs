// The payload socket between the supervisor and this process; the frames are those of payload.py. In a context the header
// also says `after_interrupt`: the run before was sent one.
import fs from "node:fs";
import net from "node:net";

const PAYLOAD_FD = 3;
const KIND_RESULT = 1;
const KIND_RICH = 2;
const KIND_BEGUN = 3;
const MAX_RICH_BYTES = 16 << 20;
const MAX_MIME_CHARS = 100;
const RETRY_MS = 1;

let richLeft = MAX_RICH_BYTES;
let isTruncated = false;
const pause = new Int32Array(new SharedArrayBuffer(4));

export function beginRun() {
  richLeft = MAX_RICH_BYTES;
  isTruncated = false;
}

export const wasTruncated = () => isTruncated;

/** Blocks until the whole request is there; null at the end of the socket. */
export function readRequestSync() {
  const header = readBlockSync();
  const code = header === null ? null : readBlockSync();
  return code === null ? null : makeRequest(header, code);
}

/** Later requests of a context arrive here while timers and servers of earlier runs go on. */
export async function* readRequests() {
  let blocks = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of new net.Socket({ fd: PAYLOAD_FD, writable: false, allowHalfOpen: true })) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const end = 4 + rest.readUInt32BE(0);
      blocks.push(rest.subarray(4, end));
      rest = rest.subarray(end);
      if (blocks.length === 2) {
        yield makeRequest(blocks[0], blocks[1]);
        blocks = [];
      }
    }
  }
}

function makeRequest(header, code) {
  const { file, env, cwd, context, after_interrupt } = JSON.parse(header.toString());
  return { file, env, cwd, isContext: context, isAfterInterrupt: after_interrupt === true, code: code.toString() };
}

function readBlockSync() {
  const prefix = readExactlySync(4);
  return prefix === null ? null : readExactlySync(prefix.readUInt32BE(0));
}

function readExactlySync(size) {
  const block = Buffer.allocUnsafe(size);
  for (let done = 0; done < size; ) {
    const count = retry(() => fs.readSync(PAYLOAD_FD, block, done, size - done));
    if (count === 0) return null;
    done += count;
  }
  return block;
}

/** From now on SIGINT interrupts the code of this run. */
export function sendBegun() {
  send(KIND_BEGUN, Buffer.alloc(0));
}

export function sendResult(result) {
  send(KIND_RESULT, Buffer.from(JSON.stringify(result)));
}

/** What exceeds the budget of the run is left out and the result is marked. */
export function sendRich(mime, data) {
  if (mime.length === 0 || mime.length > MAX_MIME_CHARS || !/^[\x21-\x7e]+$/.test(mime)) return;
  if (data.length > richLeft) {
    isTruncated = true;
    return;
  }
  richLeft -= data.length;
  send(KIND_RICH, Buffer.concat([Buffer.from([mime.length]), Buffer.from(mime), data]));
}

function send(kind, body) {
  const frame = Buffer.allocUnsafe(5 + body.length);
  frame[0] = kind;
  frame.writeUInt32BE(body.length, 1);
  body.copy(frame, 5);
  try {
    for (let done = 0; done < frame.length; ) {
      done += retry(() => fs.writeSync(PAYLOAD_FD, frame, done));
    }
  } catch (error) {
    if (error.code !== "EPIPE" && error.code !== "ECONNRESET") throw error;
  }
}

/** In a context libuv makes the descriptor non-blocking; sending stays synchronous, so that frames never interleave. */
function retry(operation) {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      if (error.code !== "EAGAIN" && error.code !== "EINTR") throw error;
      Atomics.wait(pause, 0, 0, RETRY_MS);
    }
  }
}
