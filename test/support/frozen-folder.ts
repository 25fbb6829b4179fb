import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder on a file system of its own. While that is frozen, a process that writes there cannot even be killed. */
export class FrozenFolder implements Disposable {
  readonly path: string;
  readonly #root: string;
  #isFrozen = false;

  constructor() {
    this.#root = mkdtempSync(join(tmpdir(), "paddock-frozen-"));
    chmodSync(this.#root, 0o711);
    const image = join(this.#root, "image");
    this.path = join(this.#root, "folder");
    mkdirSync(this.path);
    execFileSync("truncate", ["-s", "16M", image]);
    execFileSync("mkfs.ext4", ["-q", image]);
    execFileSync("mount", ["-o", "loop", image, this.path]);
    chmodSync(this.path, 0o777);
  }

  freeze(): void {
    execFileSync("fsfreeze", ["--freeze", this.path]);
    this.#isFrozen = true;
  }

  thaw(): void {
    if (this.#isFrozen) execFileSync("fsfreeze", ["--unfreeze", this.path]);
    this.#isFrozen = false;
  }

  [Symbol.dispose](): void {
    this.thaw();
    execFileSync("umount", [this.path]);
    rmSync(this.#root, { recursive: true });
  }
}
