import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TaskArtifactWriter } from "../../src/executor/task-artifacts.ts";
import { FilesystemArtifacts } from "../../src/store/artifacts/filesystem.ts";

test("task artifacts - a name that climbs out of the task's prefix is refused and replaces nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-artifacts-"));
  try {
    const store = new FilesystemArtifacts(folder);
    await store.put("published/page", Buffer.from("theirs"));
    const writer = new TaskArtifactWriter(store, "t1", {}, undefined);
    await writer.storeText("result", "../../published/page", "evil", "text/plain");
    await writer.storeText("result", "files/fine", "ours", "text/plain");
    const { stored, failed } = writer.finish();
    expect(stored.map(({ key }) => key)).toEqual(["tasks/t1/files/fine"]);
    expect(failed).toMatchObject([{ error: { code: "invalid_request" } }]);
    expect((await store.head("published/page")).bytes).toBe("theirs".length);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
