import { expect, test } from "vitest";
import { type ContainerPlan, makeContainerBody } from "../../../src/drivers/docker/options.ts";
import type { SandboxId } from "../../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";

const PLAN: ContainerPlan = {
  spec: {
    id: "sbx_0123456789abcdefghjkmnpqrs" as SandboxId,
    workspacePath: "/workspace",
    workspace: { kind: "new" },
    limits: DEFAULT_LIMITS,
    mounts: [
      { source: "/data/cache", target: "/opt/paddock/cache", writable: true },
      { source: "/data/template", target: "/opt/paddock/env", writable: false },
    ],
    nodeType: "python",
    templateHash: "aa",
    socketDir: "/data/run/socket",
    key: "00",
  },
  held: {
    uid: 200_007,
    gid: 200_007,
    distinctUid: true,
    generation: 2,
    workspace: { kind: "loop", device: "/dev/loop7", mode: "image", readOnly: false },
  },
  fleet: "fleet-1",
  image: "sha256:11",
  runtime: "runc",
  overhead: { memoryBytes: 0, pids: 0, threadsPerTask: 1 },
  cgroupVersion: 1,
  seccomp: "{}",
  user: "200007:200007",
  isLocal: true,
  usesSocket: true,
  files: { "/etc/passwd": "/data/bin/users/passwd" },
  caBundle: "/data/bin/ca.pem",
  command: ["/usr/bin/python3", "main.py"],
};

test("the whole request", () => {
  expect(makeContainerBody(PLAN)).toMatchSnapshot();
});

test("limits stand where the engine reads them", () => {
  const { HostConfig } = makeContainerBody({
    ...PLAN,
    spec: { ...PLAN.spec, limits: { ...DEFAULT_LIMITS, cpus: 0.25, pids: 9 } },
  });
  const MIB = 1024 ** 2;
  expect(HostConfig).toMatchObject({
    Memory: 512 * MIB,
    MemorySwap: 512 * MIB,
    PidsLimit: 9,
    CpuPeriod: 100_000,
    CpuQuota: 25_000,
  });
  expect(Object.keys(HostConfig)).not.toContain("Resources");
});

test("gVisor's kernel has room beside the guest", () => {
  const overhead = { memoryBytes: 1024, pids: 64, threadsPerTask: 2 };
  const { HostConfig } = makeContainerBody({ ...PLAN, overhead });
  expect(HostConfig).toMatchObject({ Memory: 512 * 1024 ** 2 + 1024, PidsLimit: 128 * 2 + 64 });
});

test("cgroup v2 has no swappiness, and an engine elsewhere is shown nothing of this machine", () => {
  const held = { ...PLAN.held, workspace: { kind: "memory", mode: "memory" } } as const;
  const { caBundle: _bundle, ...rest } = PLAN;
  const spec = { ...PLAN.spec, mounts: [] };
  const plan = { ...rest, spec, held, cgroupVersion: 2, isLocal: false, usesSocket: false, files: {} } as const;
  const { HostConfig } = makeContainerBody(plan);
  expect(HostConfig.MemorySwappiness).toBeUndefined();
  expect(HostConfig.Mounts).toEqual([expect.objectContaining({ Type: "volume", Source: "", Target: "/etc" })]);
  expect(HostConfig.Tmpfs?.["/workspace"]).toBe(
    "rw,exec,nosuid,nodev,size=1073741824,nr_inodes=65536,uid=200007,gid=200007,mode=0700",
  );
});

test.each(["/", "/etc", "/usr/lib", "/proc/x", "/tmp", "relative", "/opt/paddock/supervisor/x", "/run/paddock"])(
  "%s is no place for a workspace",
  (workspacePath) => {
    expect(() => makeContainerBody({ ...PLAN, spec: { ...PLAN.spec, workspacePath } })).toThrow(
      expect.objectContaining({ code: "create_failed" }),
    );
  },
);
