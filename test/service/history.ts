/** One request of a client and what it was told, in the order of asking. */
export interface Answer {
  readonly client: number;
  readonly kind: string;
  /** The agent's name. */
  readonly name: string;
  /** What was sent besides: the key of an idempotent one, the status of a PUT. */
  readonly key?: string;
  readonly said?: string;
  readonly responseId?: string;
  /** On the machine's monotonic clock, in milliseconds: comparable between processes. */
  readonly startMs: number;
  readonly endMs: number;
  /** 0: no answer came. */
  readonly status: number;
  readonly cancelled?: boolean;
  readonly state?: string;
  readonly text?: string;
  /** Every response that the answer showed. */
  readonly seen: readonly Sight[];
}

export interface Sight {
  readonly id: string;
  readonly status: string;
  readonly attempts: number;
  readonly finishedAt: string | null;
}

export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
export const isEnded = (status: string): boolean => ["completed", "failed", "cancelled"].includes(status);
