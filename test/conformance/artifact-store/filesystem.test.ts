import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FilesystemArtifacts } from "../../../src/store/artifacts/filesystem.ts";
import { artifactStoreSuite } from "./suite.ts";

artifactStoreSuite("filesystem", async () => {
  const folder = await mkdtemp(join(tmpdir(), "paddock-artifacts-"));
  const store = new FilesystemArtifacts(folder);
  return {
    store,
    listDebris: async () => await findDebris(folder, store),
    close: async () => {
      await store[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});

/** Contents that no entry names. */
async function findDebris(folder: string, store: FilesystemArtifacts): Promise<string[]> {
  const blobs = await readdir(join(folder, "blobs"));
  const files = await readdir(join(folder, "blobs"), { recursive: true, withFileTypes: true });
  const parts = files.filter((file) => file.isFile() && file.name.endsWith(".part")).map(({ name }) => name);
  const { artifacts } = await store.list();
  return blobs.length === artifacts.length ? parts : [...parts, `${blobs.length} blobs, ${artifacts.length} artifacts`];
}
