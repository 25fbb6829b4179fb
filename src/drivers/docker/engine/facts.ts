import type Docker from "dockerode";

export interface EngineRuntime {
  readonly name: string;
  readonly path: string | undefined;
  readonly arguments: readonly string[];
}

/** What an engine says of itself. */
export interface EngineFacts {
  readonly name: "Docker" | "Podman";
  readonly version: string;
  readonly apiVersion: string;
  /** Identifies the engine, so that an image id is looked up where it was built. */
  readonly id: string;
  readonly kernel: string;
  /** As Node names it: `x64`, `arm64`, else the engine's word. */
  readonly arch: string;
  readonly cgroupVersion: 1 | 2;
  readonly cgroupDriver: string;
  readonly storageDriver: string;
  readonly defaultRuntime: string;
  readonly runtimes: readonly EngineRuntime[];
  /** Undefined where the engine does not tell. */
  readonly runcVersion: string | undefined;
  readonly seccomp: boolean;
  readonly rootless: boolean;
  readonly userNamespace: boolean;
  readonly liveRestore: boolean;
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: "x64",
  amd64: "x64",
  aarch64: "arm64",
  arm64: "arm64",
};

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null;
const readText = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

function readRuntime(name: string, value: unknown): EngineRuntime {
  const fields = isFields(value) ? value : {};
  const given = fields["runtimeArgs"];
  const list = Array.isArray(given) ? given.filter((argument) => typeof argument === "string") : [];
  return { name, path: readText(fields["path"]), arguments: list };
}

function findComponent(version: Fields, pattern: RegExp): string | undefined {
  const components = Array.isArray(version["Components"]) ? version["Components"].filter(isFields) : [];
  return readText(components.find(({ Name }) => pattern.test(String(Name)))?.["Version"]);
}

/** Docker names runc and its version; Podman gives what `runc --version` prints. */
function findRuncVersion(version: Fields): string | undefined {
  const text = findComponent(version, /^(runc|OCI Runtime \(runc\))$/);
  return text === undefined ? undefined : /\d+\.\d+\.\d+(-rc\.?\d+)?/.exec(text)?.[0];
}

/**
 * Reads the answers of `/version` and `/info`; a field that an engine leaves out takes the value that promises least.
 */
export function readFacts(versionAnswer: Docker.DockerVersion, infoAnswer: unknown): EngineFacts {
  const version: Fields = { ...versionAnswer };
  const info: Fields = isFields(infoAnswer) ? infoAnswer : {};
  const podman = findComponent(version, /podman/i);
  const security = Array.isArray(info["SecurityOptions"]) ? info["SecurityOptions"].map(String) : [];
  const hasOption = (name: string): boolean => security.some((option) => option.split(",").includes(`name=${name}`));
  const runtimes = isFields(info["Runtimes"]) ? Object.entries(info["Runtimes"]) : [];
  const architecture = readText(info["Architecture"]) ?? "unknown";
  return {
    name: podman === undefined ? "Docker" : "Podman",
    version: podman ?? readText(version["Version"]) ?? "unknown",
    apiVersion: readText(version["ApiVersion"]) ?? "unknown",
    id: readText(info["ID"]) ?? readText(info["Name"]) ?? "unknown",
    kernel: readText(info["KernelVersion"]) ?? "unknown",
    arch: ARCHITECTURES[architecture] ?? architecture,
    cgroupVersion: info["CgroupVersion"] === "2" ? 2 : 1,
    cgroupDriver: readText(info["CgroupDriver"]) ?? "none",
    storageDriver: readText(info["Driver"]) ?? "unknown",
    defaultRuntime: readText(info["DefaultRuntime"]) ?? "runc",
    runtimes: runtimes.map(([name, value]) => readRuntime(name, value)),
    runcVersion: findRuncVersion(version),
    seccomp: hasOption("seccomp"),
    rootless: hasOption("rootless"),
    userNamespace: hasOption("userns"),
    liveRestore: info["LiveRestoreEnabled"] === true,
  };
}
