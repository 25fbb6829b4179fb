import { spawn } from "node:child_process";
import { once } from "node:events";

/** Milliseconds from spawn to exit of a plain process. */
export async function timePlain(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const begun = performance.now();
  const child = spawn(command, args, { stdio: "ignore", env });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}`);
  return performance.now() - begun;
}
