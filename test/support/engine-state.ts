import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { cgroupRoots, listNames, readText } from "../conformance/driver/scan.ts";
import { findEngine } from "./engine.ts";

/** What Paddock's own things at an engine carry (docs/docker.md). */
const LABEL = "paddock.fleet";
const CONTAINER_ID = /[0-9a-f]{64}/;

interface Container {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
}

/**
 * Everything that sandboxes could leave at the tests' engine: containers, volumes, half-built images, shims, cgroups.
 * Empty without engine.
 */
export function listEngineState(): string[] {
  const engine = findEngine();
  if (engine === undefined) return [];
  const containers = ask<Container[]>(engine.socket, "/containers/json?all=1");
  const known = new Set(containers.map(({ Id }) => Id));
  return [
    ...containers
      .filter(({ Labels }) => LABEL in Labels)
      .map(
        ({ Id, Names, Labels }) => `container ${Names.join()} ${Labels["paddock.sandbox"] ?? ""} ${Id.slice(0, 12)}`,
      ),
    ...(ask<{ Volumes: { Name: string }[] | null }>(
      engine.socket,
      `/volumes?filters=${filter({ label: [LABEL] })}`,
    ).Volumes?.map(({ Name }) => `volume ${Name}`) ?? []),
    ...ask<{ Id: string }[]>(
      engine.socket,
      `/images/json?filters=${filter({ dangling: ["true"], label: [LABEL] })}`,
    ).map(({ Id }) => `half-built image ${Id}`),
    ...strayShims(engine.socket, known),
    ...strayGroups(known),
  ];
}

/** Shims and cgroups bear no sandbox's id; those that were there before this test file are another's. */
const isStray = (item: string): boolean => /^(shim|cgroup) /.test(item);
const straysBefore = new Set(listEngineState().filter(isStray));

/** What of these sandboxes is at the tests' engine. */
export function engineRemains(ids: readonly string[]): string[] {
  return listEngineState().filter(
    (item) => (isStray(item) && !straysBefore.has(item)) || ids.some((id) => item.includes(id)),
  );
}

function filter(filters: object): string {
  return encodeURIComponent(JSON.stringify(filters));
}

function ask<T>(socket: string, path: string): T {
  const args = ["-sf", "--max-time", "20", "--unix-socket", socket, `http://engine${path}`];
  const { stdout, status } = spawnSync("curl", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`the tests' engine does not answer ${path} (curl: ${status})`);
  return JSON.parse(stdout) as T;
}

/** Shims and gVisor processes of this engine whose container it does not know any more. */
function strayShims(socket: string, known: ReadonlySet<string>): string[] {
  const folder = join(socket, "..", "exec");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const command = readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
      const id = command.includes(folder) ? CONTAINER_ID.exec(command)?.[0] : undefined;
      return id === undefined || known.has(id) ? [] : [`shim ${pid} ${command.slice(0, 60)} ${id.slice(0, 12)}`];
    });
}

/** Cgroups of containers that the engine does not know any more, below the parent that scripts/engine.sh gives it. */
function strayGroups(known: ReadonlySet<string>): string[] {
  const parent = `paddock-engine-${process.getuid?.() ?? 0}`;
  return cgroupRoots().flatMap((root) =>
    listNames(join(root, parent))
      .filter((name) => CONTAINER_ID.test(name) && !known.has(name))
      .map((name) => `cgroup ${join(root, parent, name)}`),
  );
}
