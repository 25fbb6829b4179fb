import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Home } from "../../config/home.ts";
import { removeFolder } from "../../lib/remove-folder.ts";
import type { ProbeFinding } from "../driver.ts";
import { BlankImageStore } from "./image.ts";
import type { Identity } from "./launch.ts";
import type { LauncherProcess } from "./launcher-process.ts";

const PROBE_IMAGE_BYTES = 16 * 1024 * 1024;

export const ownIdentity = (): Identity => ({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });

/** What the host offers for workspaces. */
export interface HostStorage {
  readonly home: Home;
  /** Our own identity; uid 0 gives sandboxes others. */
  readonly own: Identity;
  readonly kind: "image" | "folder";
  readonly blanks: BlankImageStore;
}

/** Images where one can really be made and mounted, else folders. */
export async function chooseStorage(
  home: Home,
  launcher: LauncherProcess,
): Promise<{ readonly finding: ProbeFinding; readonly storage: HostStorage }> {
  const name = "workspace images";
  const own = ownIdentity();
  const blanks = new BlankImageStore(home.workspaces);
  const polled = "workspaces are folders: RLIMIT_FSIZE and a check every second";
  if (own.uid !== 0) {
    const hint = "Run as root for fixed sizes.";
    const finding = { name, status: "warning", detail: `not root; ${polled}`, hint } as const;
    return { finding, storage: { home, own, blanks, kind: "folder" } };
  }
  const folder = join(home.workspaces, `.probe-${randomBytes(6).toString("hex")}`);
  try {
    await mkdir(folder, { mode: 0o700 });
    await launcher.request("tryImage", { folder, blank: await blanks.get(PROBE_IMAGE_BYTES) });
    const finding = { name, status: "ok", detail: "ext4 on loop devices" } as const;
    return { finding, storage: { home, own, blanks, kind: "image" } };
  } catch (error) {
    const detail = `${error instanceof Error ? error.message : String(error)}; ${polled}`;
    const hint = "Install e2fsprogs and allow loop devices (/dev/loop-control).";
    return { finding: { name, status: "warning", detail, hint }, storage: { home, own, blanks, kind: "folder" } };
  } finally {
    await removeFolder(folder);
  }
}
