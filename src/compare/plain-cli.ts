import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { type PlainContainer, type PlainEngine, SLEEP, TRUE, timePlain } from "./plain.ts";

const call = promisify(execFile);
const LIMIT_MS = 60_000;

/** The `docker` command of the path, or undefined. */
export function findDockerCli(env: NodeJS.ProcessEnv): string | undefined {
  return (env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "docker"))
    .find(isExecutable);
}

export function makeCliEngine(docker: string, env: NodeJS.ProcessEnv): PlainEngine {
  const run = async (...args: readonly string[]): Promise<string> =>
    (await call(docker, args, { timeout: LIMIT_MS, env })).stdout.trim();
  return {
    via: "docker CLI",
    listRuntimes: async () => Object.keys(JSON.parse(await run("info", "--format", "{{json .Runtimes}}")) as object),
    start: async (image, runtime) => {
      const options = ["--rm", "--network", "none", "--runtime", runtime];
      const [sleep, ...seconds] = SLEEP;
      const id = await run("run", "--detach", ...options, "--entrypoint", sleep, image, ...seconds);
      return {
        timeRun: () => timePlain(docker, ["run", ...options, "--entrypoint", TRUE[0], image], env),
        timeExec: () => timePlain(docker, ["exec", id, ...TRUE], env),
        remove: async () => void (await run("rm", "--force", id)),
      } satisfies PlainContainer;
    },
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
