import { ifFound } from "../../errors/not-found.ts";
import type { AgentSettings } from "../../model/agent.ts";
import type { SandboxFiles } from "../../sandbox/files.ts";
import { quoteBash } from "../../setup/quote.ts";

export const SETUP_FILE = "code/setup.sh";

const FOLDERS = ["code", "content", "logs"];

/**
 * Puts the agent's folders and files into its workspace. What is there already stays as it is: tasks may change all of
 * it, and a wake does not undo that. Throws what the workspace refuses (`path_refused`, `file_error`), for a task may
 * have put other things in their place.
 */
export async function putFiles(files: SandboxFiles, settings: AgentSettings): Promise<void> {
  for (const folder of FOLDERS) await files.makeFolder(folder);
  await putMissing(files, ".env", renderEnv(settings.env), 0o600);
  if (settings.instructions !== undefined)
    await putMissing(files, "code/instructions.md", endLine(settings.instructions), 0o644);
  if (settings.setup !== undefined) await putMissing(files, SETUP_FILE, endLine(settings.setup), 0o755);
}

/** One `NAME=value` per line, quoted so that bash that sources it has exactly the value. */
export function renderEnv(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}=${quoteBash(value)}\n`)
    .join("");
}

/** Something lies there, be it a link that leads nowhere. */
export async function exists(files: SandboxFiles, path: string): Promise<boolean> {
  return (await ifFound(files.stat(path))) !== undefined;
}

/** Whole or not at all, however this ends. */
async function putMissing(files: SandboxFiles, path: string, content: string, mode: number): Promise<void> {
  if (await exists(files, path)) return;
  const half = `${path}.new`;
  if (await exists(files, half)) await files.remove(half, { recursive: true });
  await files.write(half, content, { mode, exclusive: true });
  await files.move(half, path);
}

const endLine = (text: string): string => (text.endsWith("\n") ? text : `${text}\n`);
