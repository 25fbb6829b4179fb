import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ENGINE_VARIABLE, type TestEngine } from "./engine.ts";

const ENGINE = fileURLToPath(new URL("../../scripts/engine.sh", import.meta.url));
/** Starting an engine is bounded by the script itself; this is the bound on the script. */
const LIMIT_MS = 120_000;

function runEngine(command: "start" | "stop" | "status"): { ok: boolean; text: string } {
  const { status, stdout, stderr } = spawnSync("bash", [ENGINE, command], { encoding: "utf8", timeout: LIMIT_MS });
  return { ok: status === 0, text: (status === 0 ? stdout : stderr).trim() };
}

function listRuntimes(socket: string): readonly string[] {
  const { stdout } = spawnSync("curl", ["-s", "--max-time", "10", "--unix-socket", socket, "http://engine/info"], {
    encoding: "utf8",
  });
  return Object.keys((JSON.parse(stdout) as { Runtimes: Record<string, unknown> }).Runtimes);
}

/**
 * Starts the tests' private engine, as root, and points DOCKER_HOST at it for every test and what it starts. One that
 * ran before is used and left running.
 */
export default function startEngine(): (() => void) | undefined {
  const ranBefore = runEngine("status").ok;
  const { ok, text } = runEngine("start");
  if (!ok) {
    console.warn(text);
    return undefined;
  }
  const engine: TestEngine = { socket: text, host: `unix://${text}`, runtimes: listRuntimes(text) };
  process.env[ENGINE_VARIABLE] = JSON.stringify(engine);
  process.env["DOCKER_HOST"] = engine.host;
  return ranBefore ? undefined : () => void runEngine("stop");
}
