import type { Home } from "../../config/home.ts";
import { PaddockError } from "../../errors/error.ts";
import { PYTHON } from "../../model/guest-paths.ts";
import { Holder, type WorkspaceStorage } from "../host/holder.ts";
import { installCaBundle, installNode, installProgram } from "../host/install.ts";
import { findNodeTools, SUPERVISOR_SOURCE } from "../host/tools.ts";
import type { Engine } from "./engine/engine.ts";
import type { EngineFacts } from "./engine/facts.ts";
import { LABEL } from "./engine/labels.ts";
import { readFleetId } from "./fleet-id.ts";
import { seesOurFiles } from "./locality.ts";
import { assertRuntimeIsDefault, assertTakesProfile, installProfile } from "./podman.ts";
import { type ChosenRuntime, chooseRuntime, readGvisorVersion } from "./runtime.ts";
import { makeGvisorProfile, makeSeccompProfile } from "./seccomp/profile.ts";

export interface DockerOptions {
  readonly home: Home;
  /** Name the engine knows it under; undefined leaves it to the engine. */
  readonly runtime?: string | undefined;
  readonly caBundle?: string | undefined;
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
  /** In place of the process's environment, where engines are named. */
  readonly env?: NodeJS.ProcessEnv;
  /** Containers and volumes of ours without a record are removed when they are so old. Default: 10 s. */
  readonly strayGraceMs?: number;
  readonly python?: string;
  /** What runs as pid 1 in place of the supervisor. */
  readonly command?: readonly string[];
  /** JSON text in place of our profile, or `unconfined`, which every create then refuses. */
  readonly seccomp?: string;
}

/** The image a sandbox starts from. */
export interface ResolvedImage {
  readonly id: string;
  /** Host folders for what one of our images would carry. */
  readonly tools: { readonly supervisor?: string; readonly node?: string };
}

/** What was found and made once, for all sandboxes of a driver. */
export interface Setup {
  readonly options: DockerOptions;
  readonly engine: Engine;
  readonly holder: Holder;
  readonly runtime: ChosenRuntime;
  /** The engine sees this machine's files. */
  readonly isLocal: boolean;
  /** Sandboxes dial a socket of this machine; else the channel goes over their standard streams. */
  readonly usesSocket: boolean;
  readonly storage: WorkspaceStorage;
  readonly fleet: string;
  readonly seccomp: string;
  readonly caBundle?: string;
  /** For records: `Docker 20.10.24, runc 1.1.5`. */
  readonly version: string;
  readonly images: Map<string, Promise<ResolvedImage>>;
}

export const BASE_IMAGE = "paddock/base:latest";

function makeProfile(runtime: ChosenRuntime, arch: string): string {
  if (arch !== "x64" && arch !== "arm64") {
    throw new PaddockError("driver_unavailable", `there is no system call filter for ${arch}`);
  }
  return JSON.stringify(runtime.kind === "gvisor" ? makeGvisorProfile(arch) : makeSeccompProfile(arch));
}

async function describeVersion({ facts }: Engine, runtime: ChosenRuntime, isLocal: boolean): Promise<string> {
  const engine = `${facts.name} ${facts.version.replace(/\+.*$/, "")}`;
  if (runtime.kind === "oci") return `${engine}, ${runtime.name} ${facts.runcVersion ?? "of unknown version"}`;
  const version = isLocal && runtime.path !== undefined ? await readGvisorVersion(runtime.path) : undefined;
  return `${engine}, runsc ${version === undefined || version === "VERSION_MISSING" ? "built from source" : version}`;
}

/**
 * Podman gives a volume on a device to the owner of the image's folder, so its workspaces are folders, looked at every
 * second.
 */
function chooseStorage({ name, rootless }: EngineFacts, isLocal: boolean): WorkspaceStorage {
  if (!isLocal) return "memory";
  return process.getuid?.() === 0 && !rootless && name !== "Podman" ? "loop" : "folder";
}

/** Throws `driver_unavailable` for a runtime that is missing or too old, and whatever hinders the holder. */
export async function openSetup(options: DockerOptions, engine: Engine): Promise<Setup> {
  const { home, retentionMs, retentionBytes, python } = options;
  const runtime = chooseRuntime(engine.facts, options.runtime);
  assertRuntimeIsDefault(engine.facts, runtime.name);
  const profile = options.seccomp ?? makeProfile(runtime, engine.facts.arch);
  const holder = await Holder.open({
    home,
    driver: "docker",
    ...(python === undefined ? {} : { python }),
    ...(retentionMs === undefined ? {} : { retentionMs }),
    ...(retentionBytes === undefined ? {} : { retentionBytes }),
  });
  try {
    const [fleet, isLocal] = await Promise.all([readFleetId(home.root), seesOurFiles(engine, home.run)]);
    assertTakesProfile(engine.facts, isLocal);
    const seccomp =
      engine.facts.name === "Podman" && profile !== "unconfined" ? await installProfile(home.bin, profile) : profile;
    const caBundle =
      options.caBundle === undefined || !isLocal ? undefined : await installCaBundle(home.bin, options.caBundle);
    return {
      options,
      engine,
      holder,
      runtime,
      isLocal,
      usesSocket: isLocal && runtime.dialsHost,
      storage: chooseStorage(engine.facts, isLocal),
      fleet,
      seccomp,
      ...(caBundle === undefined ? {} : { caBundle }),
      version: await describeVersion(engine, runtime, isLocal),
      images: new Map(),
    };
  } catch (error) {
    await holder[Symbol.asyncDispose]();
    throw error;
  }
}

async function installTools({ options, isLocal }: Setup, image: string): Promise<ResolvedImage["tools"]> {
  if (!isLocal) {
    throw new PaddockError(
      "image_missing",
      `${image} was not made by Paddock, and the engine cannot be shown our files`,
    );
  }
  const { bin } = options.home;
  const { binary, npm } = findNodeTools();
  const [supervisor, node] = await Promise.all([
    installProgram(bin, "supervisor", SUPERVISOR_SOURCE, options.python ?? PYTHON),
    installNode(bin, binary, npm),
  ]);
  return { supervisor, node };
}

async function lookUpImage(setup: Setup, reference: string): Promise<ResolvedImage> {
  const found = await setup.engine.inspectImage(reference);
  if (found === undefined)
    throw new PaddockError("image_missing", `the engine at ${setup.engine.address} has no image ${reference}`);
  const isOurs = found.Config?.Labels?.[LABEL.image] !== undefined;
  return { id: found.Id, tools: isOurs ? {} : await installTools(setup, reference) };
}

/**
 * The image of a sandbox: the base when none is named. Node images carry supervisor and Node; any other image is shown
 * ours. Throws `image_missing`. An immutable id is looked up once.
 */
export async function resolveImage(setup: Setup, reference: string | undefined): Promise<ResolvedImage> {
  if (reference === undefined) return lookUpImage(setup, BASE_IMAGE);
  const known = setup.images.get(reference);
  if (known !== undefined) return known;
  const looking = lookUpImage(setup, reference);
  if (reference.startsWith("sha256:")) setup.images.set(reference, looking);
  looking.catch(() => setup.images.delete(reference));
  return looking;
}
