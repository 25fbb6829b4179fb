import { PaddockError } from "../../errors/error.ts";
import { type Owe, removeOrOwe } from "../../lib/owe.ts";
import type { SandboxId } from "../../model/ids.ts";
import type { AdoptedSandbox } from "../driver.ts";
import type { AdoptedHold } from "../host/holder.ts";
import { type AdoptionPayload, describeIsolation, removeHeld } from "./create.ts";
import type { ContainerFacts } from "./engine/engine.ts";
import { LABEL } from "./engine/labels.ts";
import { findLocalEvidence } from "./evidence.ts";
import { DockerSandbox, removeWholly } from "./sandbox.ts";
import type { Setup } from "./setup.ts";

/** Why the engine's container is not the one that the record speaks of; undefined where all agree. */
function findDisagreement(
  id: SandboxId,
  { held, facts }: AdoptedHold,
  container: ContainerFacts | undefined,
  fleet: string,
): string | undefined {
  if (container === undefined) return "the engine does not know its container";
  if (!container.running) return "its container does not run";
  if (container.id !== facts.containerId) return "another container has its name";
  if (container.startedAt !== facts.startedAt) return "its container was started again";
  if (container.labels[LABEL.fleet] !== fleet || container.labels[LABEL.sandbox] !== id)
    return "its container is labelled as another's";
  if (container.labels[LABEL.generation] !== String(held.generation)) return "its container is of another generation";
  return undefined;
}

function readPayload(id: SandboxId, payload: unknown): AdoptionPayload {
  const fields = typeof payload === "object" && payload !== null ? (payload as Readonly<Record<string, unknown>>) : {};
  const key = fields["key"];
  if (typeof key === "string") return { key, state: fields["state"] };
  throw new PaddockError("adoption_refused", `the record of sandbox ${id} holds no key`);
}

/**
 * Takes a living container over whose owner died. Where record and engine disagree it is removed, and nothing is
 * adopted.
 */
export async function adoptSandbox(
  setup: Setup,
  id: SandboxId,
  owe: Owe,
): Promise<AdoptedSandbox & { readonly host: DockerSandbox }> {
  const { engine, holder, fleet, isLocal } = setup;
  const adopted = await holder.adopt(id);
  const { held, facts, socketDir, payload } = adopted;
  try {
    const container = await engine.inspectContainer(adopted.container.name);
    const problem = findDisagreement(id, adopted, container, fleet);
    if (container === undefined || problem !== undefined) {
      throw new PaddockError("adoption_refused", `sandbox ${id} cannot be adopted: ${problem}`);
    }
    const { key, state } = readPayload(id, payload);
    const evidence = isLocal ? findLocalEvidence(container) : undefined;
    const template = container.labels[LABEL.template];
    const isolation = {
      ...describeIsolation(setup, held, container.image, evidence),
      ...(template === undefined ? {} : { template }),
    };
    const host = new DockerSandbox({
      engine,
      container,
      isolation,
      evidence,
      stdio: undefined,
      usesStdio: false,
      isGvisor: setup.runtime.kind === "gvisor",
      release: (options) => holder.remove(id, options),
    });
    return { host: host.watch(), socketDir, socketOwner: { uid: held.uid, gid: held.gid }, key, state };
  } catch (error) {
    const remove = (): Promise<void> => removeHeld(setup, id, removeWholly(engine, facts.containerId));
    await removeOrOwe(owe, id, remove).catch(() => undefined);
    throw error;
  }
}
