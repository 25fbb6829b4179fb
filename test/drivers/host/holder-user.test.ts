import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { lacks } from "../../support/needs.ts";
import { runAsUser } from "../../support/ordinary-user.ts";
import { isRoot, NOTHING_LEFT } from "../bubblewrap/harness.ts";

const PROGRAM = fileURLToPath(new URL("./holder-user.ts", import.meta.url));
/** A user that nothing else on the machine runs as. */
const SOMEBODY = 61_235;

test.skipIf(lacks(isRoot, "root"))("an ordinary user holds sandboxes under its own uid, in folders", () => {
  const root = mkdtempSync(join(tmpdir(), "paddock-user-"));
  chmodSync(root, 0o755);
  for (const name of ["home", "clone"]) mkdirSync(join(root, name));
  chownSync(join(root, "home"), SOMEBODY, SOMEBODY);
  try {
    const seen = runAsUser(SOMEBODY, join(root, "clone"), PROGRAM, join(root, "home")) as Record<string, unknown>;
    const held = { uid: SOMEBODY, gid: SOMEBODY, distinctUid: false, workspace: { kind: "folder", mode: "polled" } };
    expect(seen["first"]).toMatchObject({ ...held, generation: 1 });
    expect(seen["again"]).toMatchObject({ ...held, generation: 2 });
    expect(seen["during"]).toMatchObject({ loops: [], uids: [], owners: [expect.any(String)] });
    expect(seen["findings"]).toMatchObject([{ name: "workspace images", status: "warning" }]);
    expect(seen["left"]).toMatchObject({ ...NOTHING_LEFT, workspaces: expect.any(Array) });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
