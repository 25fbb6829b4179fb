import { breach, FRAME, type Frame } from "./frames.ts";

/** Frames of one byte stream within a second; a supervisor that works sends a small part of it. */
const MAX_FRAMES_PER_SECOND = 100_000;
const MAX_CONTROLS_PER_SECOND = 20_000;

/** Holds the rate of frames, so that a broken sandbox cannot keep the host's thread busy with tiny ones. */
export class FrameBudget {
  #since = 0;
  #frames = 0;
  #controls = 0;

  spend(frame: Frame): void {
    const now = performance.now();
    if (now - this.#since > 1000) {
      this.#since = now;
      this.#frames = 0;
      this.#controls = 0;
    }
    this.#frames += 1;
    if (frame.type === FRAME.control) this.#controls += 1;
    if (this.#frames > MAX_FRAMES_PER_SECOND || this.#controls > MAX_CONTROLS_PER_SECOND)
      throw breach("too many frames in a second");
  }
}
