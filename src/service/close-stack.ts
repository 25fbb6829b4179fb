/** Closes what was opened, last first, and goes on when one part fails. */
export class CloseStack {
  readonly #closers: (() => Promise<void>)[] = [];
  #closing: Promise<void> | undefined;

  add<T extends AsyncDisposable | Disposable>(part: T): T {
    this.defer(async () => {
      if (Symbol.asyncDispose in part) await part[Symbol.asyncDispose]();
      else part[Symbol.dispose]();
    });
    return part;
  }

  defer(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** Throws an `AggregateError` of all that failed. */
  async close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    await this.#closing;
  }

  async #closeAll(): Promise<void> {
    const errors: unknown[] = [];
    for (const close of this.#closers.reverse()) await close().catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw new AggregateError(errors, "parts of the service did not close");
  }
}
