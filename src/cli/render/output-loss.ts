import { say } from "./terminal.ts";

const EXIT_BROKEN_PIPE = 141;
const EXIT_CANNOT_WRITE = 74;

const lost = new AbortController();

/** Aborts when standard output cannot be written any more: nobody reads it (`| head`), or the disk is full. */
export const outputLost: AbortSignal = lost.signal;

/** Called once by the entry point. Commands stop on `outputLost` and clean up; the exit code then says why. */
export function watchOutput(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (lost.signal.aborted) return;
    if (error.code !== "EPIPE") say(`standard output cannot be written: ${error.message}`);
    lost.abort(error);
  });
  process.stderr.on("error", () => undefined);
  process.on("exit", () => {
    if (!lost.signal.aborted) return;
    const { code } = lost.signal.reason as NodeJS.ErrnoException;
    process.exitCode = code === "EPIPE" ? EXIT_BROKEN_PIPE : EXIT_CANNOT_WRITE;
  });
}
