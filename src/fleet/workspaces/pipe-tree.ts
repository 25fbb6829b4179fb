import { ChunkPipe } from "../../lib/chunk-pipe.ts";
import type { SandboxFiles } from "../../sandbox/files.ts";

/** Streams a tree (or `paths` of it) from one sandbox's workspace into another's, as a tar with back-pressure. */
export async function pipeTree(
  from: SandboxFiles,
  to: SandboxFiles,
  paths: readonly string[] | undefined,
  options: Parameters<SandboxFiles["importTar"]>[2],
): ReturnType<SandboxFiles["importTar"]> {
  const pipe = new ChunkPipe();
  from
    .exportTar(".", (chunk) => pipe.push(chunk), paths)
    .then(
      () => pipe.end(),
      (error: unknown) => pipe.fail(error),
    );
  return await to.importTar(".", pipe, options);
}
