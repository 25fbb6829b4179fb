import { ifFound } from "../../errors/not-found.ts";
import { pipeTree } from "../../fleet/workspaces/pipe-tree.ts";
import type { SandboxFiles } from "../../sandbox/files.ts";

export interface CopyChoice {
  readonly code: boolean;
  readonly env: boolean;
}

/** What may be copied, and as what it has to be there: anything else in its place is left out. */
const PARTS: readonly { readonly path: string; readonly type: "dir" | "file"; readonly of?: keyof CopyChoice }[] = [
  { path: "code", type: "dir", of: "code" },
  { path: ".env", type: "file", of: "env" },
  { path: "content", type: "dir" },
  { path: "data", type: "dir" },
  { path: "README.md", type: "file" },
];

/**
 * Copies what a remix takes over from one workspace into another, an empty one: `code/` and `.env` if chosen,
 * `content/`, `data/` and `README.md` if they are there. Links go as they are, for they lead nowhere but inside a
 * sandbox; sockets, devices and special bits are left out.
 */
export async function copyWorkspace(
  from: SandboxFiles,
  to: SandboxFiles,
  choice: CopyChoice,
): Promise<{ readonly entries: number; readonly bytes: number }> {
  const chosen = PARTS.filter(({ of }) => of === undefined || choice[of]);
  const paths: string[] = [];
  for (const { path, type } of chosen) if ((await typeAt(from, path)) === type) paths.push(path);
  if (paths.length === 0) return { entries: 0, bytes: 0 };
  const { entries, bytes } = await pipeTree(from, to, paths, { anyLink: true });
  return { entries, bytes };
}

async function typeAt(files: SandboxFiles, path: string): Promise<string | undefined> {
  return (await ifFound(files.stat(path)))?.type;
}
