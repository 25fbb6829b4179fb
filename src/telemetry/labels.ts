/** The value that stands for every value beyond the bound. */
export const OTHER = "other";

/**
 * Keeps the values of one label few: the first `most` distinct ones stay, later ones become `other`. Labels are chosen
 * so that the bound is never met; it holds when a caller passes what somebody outside chose.
 */
export class LabelValues {
  readonly #most: number;
  readonly #known = new Set<string>();

  constructor(most: number, known: Iterable<string> = []) {
    this.#most = most;
    for (const value of known) this.#known.add(value);
  }

  admit(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.#most || value.length > 128) return OTHER;
    this.#known.add(value);
    return value;
  }
}
