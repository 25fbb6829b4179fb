import { existsSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { PaddockError } from "../errors/error.ts";
import { isAlive } from "../lib/process-identity.ts";
import { isSandboxId } from "../model/ids.ts";
import { Connection } from "../sandbox/channel/connection.ts";
import { readControl } from "../sandbox/channel/control.ts";
import { FRAME, MAX_PAYLOAD_BYTES } from "../sandbox/channel/frames.ts";
import { CARD, KeeperCard, type KeeperRequest, toErrorCode } from "./protocol.ts";

export interface KeeperSinks {
  readonly stdout?: (chunk: Buffer) => void | Promise<void>;
  readonly stderr?: (chunk: Buffer) => void | Promise<void>;
  readonly event?: (event: unknown) => void;
}

/** The cards of kept sandboxes whose keeper lives. */
export function listKept(runFolder: string): readonly KeeperCard[] {
  return listCards(runFolder).filter((card) => isAlive(card.keeper));
}

/** The cards of all keepers, living and dead. */
export function listCards(runFolder: string): readonly KeeperCard[] {
  if (!existsSync(runFolder)) return [];
  return readdirSync(runFolder).flatMap((id) => {
    const card = readCard(join(runFolder, id, CARD));
    return card === undefined ? [] : [card];
  });
}

/** A kept sandbox by its id or an unambiguous beginning of it. */
export function findKept(runFolder: string, name: string): KeeperCard {
  return chooseCard(listKept(runFolder), name);
}

/** Throws `not_found` unless exactly one card is meant. */
export function chooseCard(cards: readonly KeeperCard[], name: string): KeeperCard {
  const matches = cards.filter((card) => card.sandbox_id.startsWith(name) || card.sandbox_id.startsWith(`sbx_${name}`));
  const [first, second] = matches;
  if (first !== undefined && second === undefined && name.length >= 1) return first;
  throw new PaddockError(
    "not_found",
    first === undefined ? `no kept sandbox ${name}` : `${name} names ${matches.length} kept sandboxes`,
    {
      hint: "`paddock ps` lists kept sandboxes.",
    },
  );
}

function readCard(path: string): KeeperCard | undefined {
  try {
    const card = KeeperCard.parse(JSON.parse(readFileSync(path, "utf8")));
    return isSandboxId(card.sandbox_id) ? card : undefined;
  } catch {
    return undefined;
  }
}

/** One request on a keeper's control socket. */
export class KeeperCall {
  readonly #connection: Connection;
  readonly #data: Buffer[] = [];
  #over = false;
  readonly #settle = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  #taken: PromiseWithResolvers<void> = Promise.withResolvers();
  /** The fields of `done`; rejects with the keeper's coded error. */
  readonly done: Promise<Readonly<Record<string, unknown>>>;

  constructor(runFolder: string, sandboxId: string, request: KeeperRequest, sinks: KeeperSinks = {}) {
    this.done = this.#settle.promise;
    this.done.catch(() => undefined);
    const lost = (cause?: Error): void => {
      this.#settle.reject(new PaddockError("sandbox_lost", `the keeper of ${sandboxId} went away`, { cause }));
      this.#over = true;
      this.#taken.resolve();
    };
    this.#connection = new Connection(
      connect(join(runFolder, sandboxId, "keeper.sock")),
      {
        frame: (frame) => {
          if (frame.type === FRAME.stdout) return sinks.stdout?.(frame.payload);
          if (frame.type === FRAME.stderr) return sinks.stderr?.(frame.payload);
          if (frame.type === FRAME.data) this.#data.push(frame.payload);
          if (frame.type === FRAME.control) this.#control(readControl(frame), sinks);
        },
        closed: lost,
      },
      lost,
    );
    this.#connection.sendControl(request);
  }

  /** Sends input of any length; resolves when the keeper takes more, or the call is over. One at a time. */
  async send(bytes: Buffer): Promise<void> {
    for (let offset = 0; offset < bytes.length && !this.#over; offset += MAX_PAYLOAD_BYTES) {
      this.#taken = Promise.withResolvers();
      this.#connection.sendBytes(FRAME.data, bytes.subarray(offset, offset + MAX_PAYLOAD_BYTES));
      await this.#taken.promise;
    }
  }

  endInput(): void {
    this.#connection.sendBytes(FRAME.end, Buffer.alloc(0));
  }

  control(control: object): void {
    this.#connection.sendControl(control);
  }

  /** Leaves: the keeper cancels what this connection asked for. */
  abandon(): void {
    this.#settle.reject(new PaddockError("cancelled", "the keeper's answer was not waited for"));
    this.#connection.destroy();
  }

  /** The data frames as JSON, once `done` came. */
  async json(): Promise<unknown> {
    await this.done;
    return JSON.parse(Buffer.concat(this.#data).toString("utf8"));
  }

  #control(control: { readonly op: string } & Readonly<Record<string, unknown>>, sinks: KeeperSinks): void {
    if (control.op === "event") sinks.event?.(control["event"]);
    else if (control.op === "taken") this.#taken.resolve();
    else if (control.op === "done") this.#finish(() => this.#settle.resolve(control));
    else if (control.op === "failed") this.#finish(() => this.#settle.reject(fromShape(control["error"])));
  }

  /** The keeper leaves it to its client to close. */
  #finish(settle: () => void): void {
    settle();
    this.#over = true;
    this.#taken.resolve();
    this.#connection.finish();
  }
}

function fromShape(shape: unknown): PaddockError {
  const { code, message, hint } = (shape ?? {}) as { code?: string; message?: string; hint?: string };
  return new PaddockError(toErrorCode(code ?? ""), message ?? "the keeper failed", hint === undefined ? {} : { hint });
}
