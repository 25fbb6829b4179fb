import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll } from "vitest";
import type { StateSubject } from "./state/samples.ts";
import { testStateStore } from "./state-conformance.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const sqlite: StateSubject = {
  name: "sqlite",
  makeDatabase: async () => {
    const folder = mkdtempSync(join(tmpdir(), "paddock-state-"));
    folders.push(folder);
    return { folder };
  },
};

testStateStore(sqlite, async ({ folder }, statement) => {
  const file = new DatabaseSync(join(folder, "paddock.db"));
  file.exec(statement);
  file.close();
});
