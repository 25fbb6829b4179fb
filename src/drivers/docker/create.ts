import { join } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import { isTimeout } from "../../lib/deadline.ts";
import { type Owe, removeOrOwe } from "../../lib/owe.ts";
import { PYTHON, SUPERVISOR_DIR } from "../../model/guest-paths.ts";
import type { SandboxId } from "../../model/ids.ts";
import type { Isolation } from "../../model/isolation.ts";
import { announceStep } from "../../model/steps.ts";
import type { SandboxSpec } from "../driver.ts";
import type { Held } from "../host/holder.ts";
import { makeStartLine } from "../host/inside.ts";
import { findLeft } from "../host/launcher-process.ts";
import { ContainerStdio } from "./engine/demux.ts";
import type { ContainerFacts } from "./engine/engine.ts";
import { LABEL } from "./engine/labels.ts";
import { assertConfined, findLocalEvidence, type LocalEvidence, runsUnder } from "./evidence.ts";
import { installUserFiles } from "./inside-files.ts";
import { type ContainerBody, HIDDEN_DEVICE, makeContainerBody } from "./options.ts";
import { adaptBody } from "./podman.ts";
import { assertNeedsNoHostFolder, ETC, listEtcFiles, packEtc } from "./remote-etc.ts";
import { DockerSandbox, removeWholly } from "./sandbox.ts";
import { type ResolvedImage, resolveImage, type Setup } from "./setup.ts";

const COMMAND = [PYTHON, "-I", "-S", "-B", `${SUPERVISOR_DIR}/__main__.py`];
/**
 * Requests to the engine are never cut off: what it makes after we left would be nobody's. Between them the caller's
 * signal is looked at.
 */
const UNCUT = new AbortController().signal;

export const nameContainer = (id: string): string => `paddock-${id}`;

/** What an adopter must know; the rest it reads from record and engine. */
export interface AdoptionPayload {
  readonly key: string;
  readonly state: unknown;
}

function assertWanted(id: string, signal: AbortSignal): void {
  if (!signal.aborted) return;
  const code = isTimeout(signal.reason) ? "timeout" : "cancelled";
  throw new PaddockError(code, `sandbox ${id} was not made: its caller left`, { cause: signal.reason });
}

async function hold({ holder, engine, storage }: Setup, spec: SandboxSpec, owe: Owe): Promise<Held> {
  const { id, socketDir, workspace, limits, adoption, key } = spec;
  const { address } = engine.endpoint;
  const payload: AdoptionPayload = { key, state: adoption?.state };
  const request = {
    id,
    socketDir,
    workspace,
    limits,
    storage,
    container: { name: nameContainer(id), socket: address.kind === "unix" ? address.path : null },
    adoption:
      adoption === undefined ? null : { graceMs: adoption.graceMs, lifetimeMs: adoption.lifetimeMs ?? null, payload },
  };
  try {
    return await holder.hold(request);
  } catch (error) {
    const left = findLeft(error);
    // No container has been asked for yet.
    const remove = (): Promise<void> => holder.remove(id, { keepWorkspace: false, containerRemoved: true });
    if (left !== undefined) owe(id, remove, left);
    throw error;
  }
}

async function describeContainer(
  setup: Setup,
  spec: SandboxSpec,
  held: Held,
  image: ResolvedImage,
): Promise<ContainerBody> {
  const { engine, runtime, isLocal, usesSocket, fleet, seccomp, caBundle, options } = setup;
  const { uid, gid } = held;
  const hidden = setup.runtime.kind === "gvisor" ? [HIDDEN_DEVICE] : [];
  const runDir = join(options.home.run, spec.id);
  const files = isLocal ? await installUserFiles(runDir, uid, gid, spec.workspacePath, hidden) : {};
  const body = makeContainerBody({
    spec,
    held,
    fleet,
    image: image.id,
    runtime: runtime.name,
    overhead: runtime.overhead,
    cgroupVersion: engine.facts.cgroupVersion,
    seccomp,
    // A rootless engine's uid 0 is our own, unprivileged one.
    user: engine.facts.rootless ? "0:0" : `${uid}:${gid}`,
    isLocal,
    usesSocket,
    files,
    ...image.tools,
    ...(caBundle === undefined ? {} : { caBundle }),
    command: options.command ?? COMMAND,
  });
  return engine.facts.name === "Podman" ? adaptBody(body, engine.facts) : body;
}

/** The key goes in before any byte of a guest runs; where the supervisor dials, that is all it ever reads there. */
function handOverKey(stdio: ContainerStdio, key: string, usesSocket: boolean): void {
  if (usesSocket) {
    stdio.end(makeStartLine(key));
    stdio.discardOutput();
  } else stdio.write(`${JSON.stringify({ key, channel: "stdio" })}\n`);
}

export function describeIsolation(setup: Setup, held: Held, image: string, evidence?: LocalEvidence): Isolation {
  const { engine, runtime, version } = setup;
  return {
    driver: "docker",
    runtime: runtime.name,
    version,
    kernel: engine.facts.kernel,
    seccomp: runtime.appliesSeccomp ? "filter" : "none",
    distinct_uid: held.distinctUid && evidence !== undefined && runsUnder(evidence, held.uid),
    limits: { mode: engine.facts.cgroupVersion === 2 ? "cgroup2" : "cgroup1", workspace: held.workspace.mode },
    image,
  };
}

/** What an engine on this machine is shown as mounts. */
async function fillEtc({ engine, options }: Setup, spec: SandboxSpec, held: Held, id: string): Promise<void> {
  await engine.putArchive(id, packEtc(await listEtcFiles(held, spec.workspacePath, options.caBundle)), ETC);
}

interface Start {
  readonly spec: SandboxSpec;
  readonly held: Held;
  readonly body: ContainerBody;
}

interface Started {
  readonly container: ContainerFacts;
  readonly stdio: ContainerStdio;
}

async function start(setup: Setup, { spec, held, body }: Start, signal: AbortSignal): Promise<Started> {
  const { engine, usesSocket, isLocal } = setup;
  const id = await engine.createContainer(nameContainer(spec.id), body, UNCUT);
  announceStep("container made", spec.id);
  assertWanted(spec.id, signal);
  if (!isLocal) await fillEtc(setup, spec, held, id);
  const stdio = new ContainerStdio(await engine.attach(id, UNCUT));
  stdio.on("error", () => undefined);
  try {
    await engine.start(id, UNCUT);
    announceStep("container started", spec.id);
    handOverKey(stdio, spec.key, usesSocket);
    const container = await engine.inspectContainer(id);
    assertWanted(spec.id, signal);
    if (container?.running === true) return { container, stdio };
    const status = `exit status ${container?.exitCode}`;
    throw new PaddockError(
      "create_failed",
      `the container ended at once (${container?.error || status}): ${stdio.diagnosis}`,
    );
  } catch (error) {
    stdio.destroy();
    throw error;
  }
}

export async function makeSandbox(
  setup: Setup,
  spec: SandboxSpec,
  signal: AbortSignal,
  owe: Owe,
): Promise<DockerSandbox> {
  const { engine, holder, isLocal, usesSocket, runtime } = setup;
  if (!isLocal) assertNeedsNoHostFolder(spec);
  const image = await resolveImage(setup, spec.image);
  assertWanted(spec.id, signal);
  const held = await hold(setup, spec, owe);
  announceStep("held", spec.id);
  let stdio: ContainerStdio | undefined;
  try {
    const body = await describeContainer(setup, spec, held, image);
    assertWanted(spec.id, signal);
    const started = await start(setup, { spec, held, body }, signal);
    stdio = started.stdio;
    const { container } = started;
    const evidence = isLocal ? findLocalEvidence(container) : undefined;
    if (evidence !== undefined && runtime.kind === "oci") await assertConfined(evidence, held.uid, signal);
    assertWanted(spec.id, signal);
    await holder.started(spec.id, {
      containerId: container.id,
      startedAt: container.startedAt,
      pid: evidence?.process.pid ?? null,
      cgroups: evidence?.cgroups ?? [],
    });
    announceStep("container recorded", spec.id);
    assertWanted(spec.id, signal);
    const isolation = withTemplate(describeIsolation(setup, held, image.id, evidence), spec);
    const release = async (options: ReleaseOptions): Promise<void> => {
      announceStep("container removed", spec.id);
      await holder.remove(spec.id, options);
    };
    return new DockerSandbox({
      engine,
      container,
      isolation,
      evidence,
      stdio,
      usesStdio: !usesSocket,
      isGvisor: runtime.kind === "gvisor",
      release,
    }).watch();
  } catch (error) {
    stdio?.destroy();
    const { id } = spec;
    await removeOrOwe(owe, id, () => removeHeld(setup, id, removeNamed(setup, id))).catch(() => undefined);
    throw error;
  }
}

interface ReleaseOptions {
  readonly keepWorkspace: boolean;
  readonly containerRemoved: boolean;
}

const withTemplate = (isolation: Isolation, { templateHash }: SandboxSpec): Isolation =>
  templateHash === undefined ? isolation : { ...isolation, template: templateHash };

/** A container of ours by its labels: the name may have been taken by somebody else's. */
async function removeNamed({ engine, fleet }: Setup, id: string): Promise<void> {
  const found = await engine.inspectContainer(nameContainer(id));
  if (found === undefined || found.labels[LABEL.fleet] !== fleet || found.labels[LABEL.sandbox] !== id) return;
  await removeWholly(engine, found.id);
}

/**
 * Leaves nothing of a sandbox that is not to be. Where its engine does not remove the container, the launcher asks the
 * engine itself.
 */
export async function removeHeld({ holder }: Setup, id: SandboxId, removing: Promise<void>): Promise<void> {
  const containerRemoved = await removing.then(
    () => true,
    () => false,
  );
  await holder.remove(id, { keepWorkspace: false, containerRemoved });
}
