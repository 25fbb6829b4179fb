import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { StateOptions } from "../../../src/store/state/open.ts";
import type { StateStore } from "../../../src/store/state-store.ts";

const PROGRAM = fileURLToPath(new URL("./elsewhere-program.ts", import.meta.url));

type Method = keyof StateStore & string;
/** A call of a method of the store. */
export type Call = {
  readonly [M in Method]: StateStore[M] extends (...parameters: infer P) => unknown ? readonly [M, ...P] : never;
}[Method];
export type Outcome = { readonly value: unknown } | { readonly code: string };

/** What the program is told. */
export type Order =
  | { readonly open: { readonly folder: string; readonly databaseUrl: string | null } }
  /** All of them at once; answered when all have ended. */
  | { readonly race: readonly Call[] }
  /** One after the other for ever, each answered when it is done. */
  | { readonly post: { readonly agentId: string } };

/** A handle of a store in a process of its own. */
export class Elsewhere implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, "exit");
  }

  static async open(options: StateOptions): Promise<Elsewhere> {
    const elsewhere = new Elsewhere(fork(PROGRAM, { serialization: "advanced" }));
    await elsewhere.#ask({ open: { folder: options.folder, databaseUrl: options.databaseUrl ?? null } });
    return elsewhere;
  }

  async race(calls: readonly Call[]): Promise<readonly Outcome[]> {
    return (await this.#ask({ race: calls })) as readonly Outcome[];
  }

  /**
   * Posts without end; resolves with the ids of acknowledged responses once there are `count`, when the process is
   * dead.
   */
  async killAmidPosting(agentId: string, count: number): Promise<readonly string[]> {
    const acknowledged: string[] = [];
    this.#child.on("message", (id: string) => {
      acknowledged.push(id);
      if (acknowledged.length === count) this.#child.kill("SIGKILL");
    });
    this.#child.send({ post: { agentId } } satisfies Order);
    await this.#ended;
    return acknowledged;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.disconnect();
    await this.#ended;
  }

  async #ask(order: Order): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#child.once("message", resolve);
    void this.#ended.then(() => reject(new Error("the other process ended")));
    this.#child.send(order);
    return await promise;
  }
}

/** Runs calls on a handle of this process, all at once. */
export async function raceHere(store: StateStore, calls: readonly Call[]): Promise<readonly Outcome[]> {
  return await Promise.all(
    calls.map(async ([method, ...parameters]): Promise<Outcome> => {
      try {
        return { value: await (store[method] as (...given: unknown[]) => Promise<unknown>)(...parameters) };
      } catch (thrown) {
        return { code: String((thrown as { code?: unknown }).code ?? thrown) };
      }
    }),
  );
}
