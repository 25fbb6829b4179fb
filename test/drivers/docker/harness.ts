import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Home, resolveHome } from "../../../src/config/home.ts";
import { DockerDriver } from "../../../src/drivers/docker/driver.ts";
import { Engine } from "../../../src/drivers/docker/engine/engine.ts";
import type { DockerOptions } from "../../../src/drivers/docker/setup.ts";
import type { DriverSandbox, SandboxSpec } from "../../../src/drivers/driver.ts";
import { makeSandboxId } from "../../../src/model/ids.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { Channel } from "../../../src/sandbox/channel/channel.ts";
import { Sandbox } from "../../../src/sandbox/sandbox.ts";
import { oweNothing } from "../../conformance/driver/owe-nothing.ts";
import { ENGINE_VARIABLE, testEngine } from "../../support/engine.ts";

const SCRATCH = "paddock-test/scratch:1";
const PACKAGES = "python3,ca-certificates,procps";

/** The environment that names the tests' engine. */
export const engineEnv = (): NodeJS.ProcessEnv =>
  process.env[ENGINE_VARIABLE] === undefined ? {} : { DOCKER_HOST: testEngine().host };

export const openEngine = (): Promise<Engine> => Engine.open(engineEnv());

export const hasBootstrap = spawnSync("mmdebstrap", ["--version"]).status === 0;

/** An image of no node type, made once per engine: it is shown our supervisor and Node. Returns its immutable id. */
export async function scratchImage(): Promise<string> {
  const engine = await openEngine();
  const known = await engine.inspectImage(SCRATCH);
  if (known !== undefined) return known.Id;
  const folder = mkdtempSync(join(tmpdir(), "paddock-scratch-"));
  const tar = join(folder, "root.tar");
  try {
    const make = spawnSync("mmdebstrap", ["--variant=minbase", `--include=${PACKAGES}`, "bookworm", tar]);
    if (make.status !== 0) throw new Error(make.stderr.toString());
    const load = spawnSync("docker", ["--host", testEngine().host, "import", tar, SCRATCH]);
    if (load.status !== 0) throw new Error(load.stderr.toString());
  } finally {
    rmSync(folder, { recursive: true });
  }
  return scratchImage();
}

export type SpecChanges = Partial<Omit<SandboxSpec, "limits">> & { readonly limits?: Partial<Limits> };

/** A sandbox with its supervisor at the other end. */
export interface Guest extends AsyncDisposable {
  readonly spec: SandboxSpec;
  readonly host: DriverSandbox;
  readonly sandbox: Sandbox;
  /** Runs a command to its end; returns its exit code (or signal) and output. */
  readonly run: (...argv: string[]) => Promise<{ readonly code: number | string; readonly out: string }>;
  readonly python: (code: string) => Promise<{ readonly code: number | string; readonly out: string }>;
}

export interface Harness extends AsyncDisposable {
  readonly home: Home;
  readonly driver: DockerDriver;
  readonly image: string;
  readonly makeSpec: (changes?: SpecChanges) => SandboxSpec;
  open(changes?: SpecChanges): Promise<Guest>;
}

const PYTHON = "/usr/bin/python3";

export async function takeUp(spec: SandboxSpec, host: DriverSandbox, channel: Channel): Promise<Guest> {
  if (host.stdio !== undefined) channel.attach(host.stdio);
  const settings = {
    hostname: "test",
    workspacePath: spec.workspacePath,
    env: { PATH: "/opt/paddock/node/bin:/usr/bin:/bin", HOME: spec.workspacePath },
    python: null,
    javascript: null,
    spillBytes: 0,
  };
  const afterClose = (): void => rmSync(join(spec.socketDir, ".."), { recursive: true, force: true });
  const signal = AbortSignal.timeout(20_000);
  const sandbox = await Sandbox.open({ id: spec.id, channel, host, afterClose }, settings, signal);
  const run: Guest["run"] = async (...argv) => {
    const { ended, report, stdout, stderr } = await sandbox.runProcess({ argv, deadlineMs: 40_000 });
    return { code: report?.signal ?? report?.exit_code ?? ended, out: `${stdout.text}${stderr.text}` };
  };
  const python: Guest["python"] = (code) => run(PYTHON, "-c", code);
  return { spec, host, sandbox, run, python, [Symbol.asyncDispose]: () => sandbox.close() };
}

export async function openHarness(options: Partial<DockerOptions> = {}): Promise<Harness> {
  const root = mkdtempSync(join(tmpdir(), "paddock-docker-"));
  const home = options.home ?? resolveHome({ PADDOCK_HOME: join(root, "home") }, 0);
  spawnSync("chmod", ["711", root]);
  const image = await scratchImage();
  const driver = new DockerDriver({ home, env: engineEnv(), ...options });
  const makeSpec = (changes: SpecChanges = {}): SandboxSpec => {
    const id = changes.id ?? makeSandboxId();
    const socketDir = join(home.run, id, "socket");
    mkdirSync(socketDir, { recursive: true, mode: 0o711 });
    const fixed = { workspacePath: "/workspace", workspace: { kind: "new" }, mounts: [], image } as const;
    const key = randomBytes(16).toString("hex");
    return { ...fixed, socketDir, key, ...changes, id, limits: { ...DEFAULT_LIMITS, ...changes.limits } };
  };
  return {
    home,
    driver,
    image,
    makeSpec,
    async open(changes = {}) {
      const spec = makeSpec(changes);
      const channel = await Channel.listen(spec.socketDir, spec.key, {
        relay: () => undefined,
        breach: () => undefined,
      });
      const host = await driver.create(spec, AbortSignal.timeout(30_000), oweNothing);
      return takeUp(spec, host, channel);
    },
    async [Symbol.asyncDispose]() {
      await driver[Symbol.asyncDispose]();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
