import { toPaddockError } from "../errors/error.ts";
import type { Connection } from "../sandbox/channel/connection.ts";
import { readControl } from "../sandbox/channel/control.ts";
import { FRAME, type Frame, MAX_PAYLOAD_BYTES } from "../sandbox/channel/frames.ts";

/** The client closes when it has read the last answer; one that does not is cut off after this long. */
const LINGER_MS = 5000;

/** What a client sends after its request. Every data frame is answered with `taken` once there is room for the next. */
export interface ClientInput {
  readonly data: (chunk: Buffer) => Promise<void>;
  readonly end: () => void;
  readonly control: (control: ReturnType<typeof readControl>) => void;
  /** The client went away. */
  readonly closed: () => void;
}

/** Takes the client's input. Reading never stops, so that a signal or a close is seen while data waits. */
export function takeInput(connection: Connection, input: ClientInput): void {
  connection.setSink({
    frame: (frame: Frame) => {
      if (frame.type === FRAME.end) input.end();
      else if (frame.type === FRAME.control) input.control(readControl(frame));
      else if (frame.type === FRAME.data) {
        const taken = (): void => connection.sendControl({ op: "taken" });
        input.data(frame.payload).then(taken, taken);
      }
    },
    closed: input.closed,
  });
}

export async function sendBytes(connection: Connection, type: 2 | 3 | 4, bytes: Buffer): Promise<void> {
  for (let offset = 0; offset < bytes.length; offset += MAX_PAYLOAD_BYTES) {
    if (!connection.sendBytes(type, bytes.subarray(offset, offset + MAX_PAYLOAD_BYTES))) await connection.drained();
  }
}

export function finish(connection: Connection, fields: object): void {
  answerLast(connection, { op: "done", ...fields });
}

export function fail(connection: Connection, error: unknown): void {
  answerLast(connection, { op: "failed", error: toPaddockError(error).toJSON() });
}

/** CloseStack first, with input of the client unread, would throw away the answer. */
function answerLast(connection: Connection, control: object): void {
  connection.sendControl(control);
  const timer = setTimeout(() => connection.destroy(), LINGER_MS);
  connection.setSink({ frame: () => undefined, closed: () => clearTimeout(timer) });
  if (connection.closed) clearTimeout(timer);
  connection.resume();
}
