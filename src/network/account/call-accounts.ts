import { CallAccount, type EgressAccount } from "./call-account.ts";

/** Network use per call. A call that is closed is forgotten; connections it left behind count for nobody. */
export class EgressLedger {
  readonly #accounts = new Map<string, CallAccount>();

  open(callId: string): CallAccount {
    const known = this.#accounts.get(callId);
    if (known) return known;
    const account = new CallAccount();
    this.#accounts.set(callId, account);
    return account;
  }

  /** So far, with open intervals counted up to now. */
  peek(callId: string): EgressAccount {
    return this.#accounts.get(callId)?.summarise() ?? { egress: [], networkMs: 0 };
  }

  close(callId: string): EgressAccount {
    const account = this.peek(callId);
    this.#accounts.delete(callId);
    return account;
  }
}
