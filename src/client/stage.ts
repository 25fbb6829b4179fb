import { readFileSync } from "node:fs";
import { posix } from "node:path";
import { gzipSync } from "node:zlib";
import { PaddockError } from "../errors/error.ts";
import type { NodeType } from "../model/node-type.ts";
import { loadPlan } from "../setup/plans.ts";
import { renderSetup } from "../setup/setup-code.ts";
import { BASE, belowAgent, ENV_DIR, WORKSPACE } from "./ractor/paths.ts";
import type { RunSpec } from "./run-spec.ts";

/** A stock server hands setup code on as one argument of a command, which Linux holds to 128 KiB. */
const MAX_SETUP_BYTES = 126 * 1024;
const LINE_LENGTH = 120;

const IMAGES = new URL("../../images/", import.meta.url);
const TOOLS = ["download.py", "http_client.py", "install_packages.py", "route.py", "upload.py"];

export interface StageInput {
  readonly nodeType: NodeType;
  /** Without the node type's packages. */
  readonly bare: boolean;
  /** Index of the call to what the runner does. */
  readonly calls: ReadonlyMap<number, RunSpec>;
  readonly env: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string>>;
}

export interface Stage {
  /** Bash for the agent's `setup`. */
  readonly setup: string;
  /** Stands in the readiness file once this setup code has run to its end. */
  readonly hash: string;
}

/**
 * Setup code that puts everything a task needs below `/agent`: our runner, all its calls word for word, its files, and
 * the node type's environment. Runs again on every wake: then it changes nothing that calls have made. Throws
 * `unsupported` when the task is too large.
 */
export async function renderStage(input: StageInput): Promise<Stage> {
  const outside = Object.keys(input.files).find(
    (path) => !belowAgent(posix.resolve(WORKSPACE, path))?.startsWith("workspace/"),
  );
  if (outside !== undefined)
    throw new PaddockError("path_refused", `files: ${JSON.stringify(outside)} is outside the workspace`);
  const { python, javascript, checks, ...rest } = await loadPlan(input.nodeType);
  const plan = input.bare
    ? { ...rest, checks: [] }
    : { ...rest, checks, ...(python && { python }), ...(javascript && { javascript }) };
  const { code, hash } = renderSetup(plan, { envDir: ENV_DIR });
  const archive = gzipSync(JSON.stringify({ ours: stagedFiles(input), task: input.files }), { level: 9 }).toString(
    "base64",
  );
  const lines = archive.match(new RegExp(`.{1,${LINE_LENGTH}}`, "g")) ?? [];
  const setup = [
    "#!/usr/bin/env bash",
    `export ENV_DIR=${ENV_DIR}`,
    `/usr/bin/python3 -I -B -c ${UNPACK} ${BASE} ${WORKSPACE} <<'END_OF_STAGE' || exit 1`,
    ...lines,
    "END_OF_STAGE",
    code,
  ].join("\n");
  if (Buffer.byteLength(setup) > MAX_SETUP_BYTES)
    throw new PaddockError(
      "unsupported",
      `the task takes ${Buffer.byteLength(setup)} bytes of setup code, a Ractor server takes ${MAX_SETUP_BYTES}`,
      {
        hint: "Let the task download its large files, or split it.",
      },
    );
  return { setup, hash };
}

/** Our files whole; the task's own only the first time, and never outside the workspace. */
const UNPACK = `'
import base64, gzip, json, os, sys
base, workspace = sys.argv[1:]
content = json.loads(gzip.decompress(base64.b64decode(sys.stdin.buffer.read())))
def put(folder, path, text):
    target = os.path.normpath(os.path.join(folder, path))
    if not target.startswith(folder + "/"):
        raise SystemExit("refused: " + path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w", encoding="utf-8", newline="") as file:
        file.write(text)
for path, text in content["ours"].items():
    put(base, path, text)
os.makedirs(workspace, exist_ok=True)
marker = os.path.join(base, "unpacked")
if not os.path.exists(marker):
    for path, text in content["task"].items():
        put(workspace, path, text)
    open(marker, "w").close()
'`;

function stagedFiles({ calls, env }: StageInput): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of ["run_call.py", "run_python.py"])
    files[name] = readFileSync(new URL(`ractor/${name}`, IMAGES), "utf8");
  const usesTools = [...calls.values()].some(
    (spec) => spec.op === "process" && spec.argv.some((part) => part.includes("/supervisor/tools/")),
  );
  if (usesTools)
    for (const name of TOOLS)
      files[`tools/${name}`] = readFileSync(new URL(`supervisor/tools/${name}`, IMAGES), "utf8");
  for (const [index, spec] of calls) {
    const whole = "env" in spec ? { ...spec, env: { ...env, ...spec.env } } : spec;
    files[`calls/${index}.json`] = JSON.stringify({ ...whole, call: String(index), workspace: WORKSPACE });
  }
  return files;
}
