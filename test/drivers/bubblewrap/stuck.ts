import { listProcessesOf, readStatus, type SpecChanges, until } from "./harness.ts";

const CODE = `
import os
if os.fork() == 0:
    while True:
        open("/frozen/file", "w").write("x")
result = True`;

/** What a sandbox needs to have a process that writes to the folder all the time. */
export function writeTo(folder: string): { readonly changes: SpecChanges; readonly code: string } {
  return { changes: { mounts: [{ source: folder, target: "/frozen", writable: true }] }, code: CODE };
}

/** Waits until a process of this uid hangs in the kernel, where no signal reaches it. */
export async function untilStuck(uid: number): Promise<void> {
  const isStuck = (pid: number): boolean => {
    try {
      return readStatus(pid)["State"]?.startsWith("D") === true;
    } catch {
      return false;
    }
  };
  await until(() => listProcessesOf(new Set([uid])).some(isStuck));
}
