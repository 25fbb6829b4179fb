import { PaddockError } from "../../errors/error.ts";
import type { Sandbox } from "../../sandbox/sandbox.ts";

const CHECK_EVERY_MS = 1000;

/**
 * Where the workspace's size is only polled (an unprivileged user, a folder), the supervisor adds it up every second
 * and the sandbox is killed above the limit. A burst may overshoot by what can be written in that second; one file is
 * bounded by RLIMIT_FSIZE.
 */
export function watchWorkspaceSize(sandbox: Sandbox, limitBytes: number): () => void {
  if (sandbox.host.isolation.limits.workspace !== "polled") return () => undefined;
  let busy = false;
  const check = async (): Promise<void> => {
    if (busy || sandbox.end) return;
    busy = true;
    try {
      const used = await sandbox.files.usedBytes();
      if (used > limitBytes)
        await sandbox.kill(new PaddockError("sandbox_lost", `the workspace holds ${used} bytes of ${limitBytes}`));
    } catch {
      // A sandbox that cannot answer is ended by the watch over its calls.
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(() => void check(), CHECK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
