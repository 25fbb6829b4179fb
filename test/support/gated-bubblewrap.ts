import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * bubblewrap behind a gate: a sandbox has its workspace, and is not made before the gate opens. Bears its name, which
 * the launcher looks at.
 */
export class GatedBubblewrap implements Disposable {
  readonly program: string;
  readonly #folder: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "paddock-gate-"));
    chmodSync(this.#folder, 0o711);
    this.program = join(this.#folder, "bwrap");
    const gate = join(this.#folder, "gate");
    const script = `#!/bin/sh
while read -r word < ${gate}; do
  case $word in
    open) exec /usr/bin/bwrap "$@" ;;
    fail) exit 3 ;;
  esac
  sleep 0.01
done
`;
    writeFileSync(this.program, script, { mode: 0o755 });
    this.set("open");
  }

  /** `fail`: whoever waits at the gate ends without a sandbox. */
  set(word: "open" | "shut" | "fail"): void {
    writeFileSync(join(this.#folder, "gate"), `${word}\n`, { mode: 0o644 });
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}
