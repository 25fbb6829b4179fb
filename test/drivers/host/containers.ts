/** Containers for the holder's tests, made by a real engine without any driver. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Held, HeldFacts } from "../../../src/drivers/host/holder.ts";

const IMAGE = "paddock-test-holder:latest";
const LABEL = "paddock.test.sandbox";

interface EngineAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** One request to the engine. An object is sent as JSON, a buffer as a tar. */
export function askEngine(
  socketPath: string,
  method: string,
  path: string,
  body?: object | Buffer,
): Promise<EngineAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<EngineAnswer>();
  const type = Buffer.isBuffer(body) ? "application/x-tar" : "application/json";
  const sent = request({ socketPath, method, path, headers: { "content-type": type } }, (answer) => {
    const chunks: Buffer[] = [];
    answer.on("data", (chunk: Buffer) => chunks.push(chunk));
    answer.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const isJson = answer.headers["content-type"] === "application/json" && text.trim().split("\n").length === 1;
      resolve({ status: answer.statusCode ?? 0, body: isJson ? (JSON.parse(text) as unknown) : text });
    });
  });
  sent.on("error", reject);
  sent.end(body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body));
  return promise;
}

/** An image of `sleep` and its libraries. */
export async function ensureImage(socket: string): Promise<void> {
  if ((await askEngine(socket, "GET", `/images/${IMAGE}/json`)).status === 200) return;
  const folder = mkdtempSync(join(tmpdir(), "paddock-test-image-"));
  try {
    const libraries = execFileSync("ldd", ["/bin/sleep"], { encoding: "utf8" }).match(/\/\S+/g) ?? [];
    for (const file of ["/bin/sleep", ...libraries]) {
      mkdirSync(join(folder, dirname(file)), { recursive: true });
      copyFileSync(file, join(folder, file));
    }
    mkdirSync(join(folder, "workspace"));
    const tar = execFileSync("tar", ["-C", folder, "-c", "."], { maxBuffer: 64 * 1024 * 1024 });
    const [repository, tag] = IMAGE.split(":");
    await expectStatus(askEngine(socket, "POST", `/images/create?fromSrc=-&repo=${repository}&tag=${tag}`, tar), 200);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function expectStatus(answer: Promise<EngineAnswer>, status: number): Promise<unknown> {
  const { status: actual, body } = await answer;
  if (actual !== status) throw new Error(`the engine says ${actual}: ${JSON.stringify(body)}`);
  return body;
}

function makeMount(id: string, { workspace }: Held): object {
  if (workspace.kind !== "loop")
    return workspace.kind === "folder" ? bindFolder(workspace.path) : { Type: "tmpfs", Target: "/workspace" };
  const options = { type: "ext4", device: workspace.device, o: "nosuid,nodev,noatime" };
  const DriverConfig = { Name: "local", Options: options };
  return {
    Type: "volume",
    Target: "/workspace",
    ReadOnly: workspace.readOnly,
    VolumeOptions: { DriverConfig, Labels: { [LABEL]: id } },
  };
}

const bindFolder = (Source: string): object => ({ Type: "bind", Source, Target: "/workspace" });

export async function createContainer(socket: string, id: string, held: Held, runtime = "runc"): Promise<string> {
  const body = await expectStatus(
    askEngine(socket, "POST", `/containers/create?name=paddock-${id}`, {
      Image: IMAGE,
      Labels: { "paddock.sandbox": id },
      Cmd: ["/bin/sleep", "1000"],
      User: `${held.uid}:${held.gid}`,
      HostConfig: { Runtime: runtime, NetworkMode: "none", Mounts: [makeMount(id, held)], LogConfig: { Type: "none" } },
    }),
    201,
  );
  return (body as { Id: string }).Id;
}

export async function startContainer(socket: string, containerId: string): Promise<HeldFacts> {
  await expectStatus(askEngine(socket, "POST", `/containers/${containerId}/start`), 204);
  const body = await expectStatus(askEngine(socket, "GET", `/containers/${containerId}/json`), 200);
  const { Pid: pid, StartedAt: startedAt } = (body as { State: { Pid: number; StartedAt: string } }).State;
  return { containerId, startedAt, pid, cgroups: listCgroups(pid).filter((path) => path.includes(containerId)) };
}

/** Folders of the process's cgroups, v1 as well as v2; runsc leaves the latter out on hosts with both. */
function listCgroups(pid: number): string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .trim()
    .split("\n")
    .flatMap((line) => {
      const [, controllers = "", path = ""] = line.split(":");
      const mount = mounts.find((text) => {
        const [, type = "", , options = ""] = /^(.*) - (\S+) (.*) (\S+)$/.exec(text)?.slice(1) ?? [];
        return controllers === ""
          ? type === "cgroup2"
          : type === "cgroup" && options.split(",").includes(controllers.split(",")[0] ?? "");
      });
      return mount === undefined ? [] : [join(mount.split(" ")[4] ?? "", path)];
    });
}

export async function removeContainer(socket: string, id: string): Promise<void> {
  await askEngine(socket, "DELETE", `/containers/paddock-${id}?force=1&v=1`);
}

export async function isRunning(socket: string, id: string): Promise<boolean> {
  const { status, body } = await askEngine(socket, "GET", `/containers/paddock-${id}/json`);
  return status === 200 && (body as { State: { Running: boolean } }).State.Running;
}

/** Names of the containers and volumes of these sandboxes that the engine still knows. */
export async function listEngineLeftovers(socket: string, ids: readonly string[]): Promise<string[]> {
  const found = await Promise.all(ids.map((id) => listOneLeftover(socket, id)));
  return found.flat();
}

async function listOneLeftover(socket: string, id: string): Promise<string[]> {
  const { status } = await askEngine(socket, "GET", `/containers/paddock-${id}/json`);
  const filters = encodeURIComponent(JSON.stringify({ label: [`${LABEL}=${id}`] }));
  const { body } = await askEngine(socket, "GET", `/volumes?filters=${filters}`);
  const { Volumes: volumes } = body as { Volumes: { Name: string }[] | null };
  return [...(status === 404 ? [] : [id]), ...(volumes ?? []).map(({ Name }) => `volume ${Name}`)];
}
