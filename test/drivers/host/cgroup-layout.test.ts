import { expect, test } from "vitest";
import { type GroupLayout, listLayouts, makeGroups } from "../../../src/drivers/host/cgroup-layout.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";

const HYBRID = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`;
const UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

const parentsOf = (layouts: readonly GroupLayout[]): string[] =>
  layouts.map(({ memory, cpu }) => `${memory} ${cpu === undefined ? "without" : "with"} cpu`);

test("on a hybrid host, root goes below its own group of each v1 controller and has a v2 group for killing", () => {
  const membership = "8:pids:/\n4:memory:/service/a\n2:cpu,cpuacct:/b\n0::/\n";
  const [layout, ...others] = listLayouts({ mountinfo: HYBRID, membership }, true);
  expect(others).toEqual([]);
  expect(layout).toMatchObject({
    mode: "cgroup1",
    memory: "/sys/fs/cgroup/memory/service/a/paddock",
    pids: "/sys/fs/cgroup/pids/paddock",
    cpu: "/sys/fs/cgroup/cpu,cpuacct/b/paddock",
    cpuAccounting: "/sys/fs/cgroup/cpu,cpuacct/b/paddock",
    unified: "/sys/fs/cgroup/unified/paddock",
  });
  expect(layout?.parents).toHaveLength(4);
});

test("inside a container the part of the path above the mount is left out", () => {
  const mountinfo = `1 0 0:1 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n2 0 0:2 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n`;
  const membership = "4:memory:/docker/abc\n3:pids:/docker/abc/inner\n";
  expect(listLayouts({ mountinfo, membership }, true)).toMatchObject([
    { memory: "/sys/fs/cgroup/memory/paddock", pids: "/sys/fs/cgroup/pids/inner/paddock" },
  ]);
});

test("on a v2 host root tries the top first, with cpu before without", () => {
  const layouts = listLayouts({ mountinfo: UNIFIED, membership: "0::/system.slice/ssh.service\n" }, true);
  expect(parentsOf(layouts).slice(0, 3)).toEqual([
    "/sys/fs/cgroup/paddock with cpu",
    "/sys/fs/cgroup/paddock without cpu",
    "/sys/fs/cgroup/system.slice/paddock with cpu",
  ]);
});

test("a user tries its own group first and then each ancestor", () => {
  const membership = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run.scope\n";
  const layouts = listLayouts({ mountinfo: UNIFIED, membership }, false);
  expect(parentsOf(layouts).filter((text) => text.endsWith(" with cpu"))).toEqual([
    "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run.scope/paddock with cpu",
    "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/paddock with cpu",
    "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/paddock with cpu",
    "/sys/fs/cgroup/user.slice/user-1000.slice/paddock with cpu",
    "/sys/fs/cgroup/user.slice/paddock with cpu",
    "/sys/fs/cgroup/paddock with cpu",
  ]);
});

test("a user has nothing to try on a hybrid host but the v2 groups, and nothing where there are none", () => {
  expect(
    listLayouts({ mountinfo: HYBRID, membership: "4:memory:/\n0::/\n" }, false).every(({ mode }) => mode === "cgroup2"),
  ).toBe(true);
  expect(listLayouts({ mountinfo: "", membership: "" }, false)).toEqual([]);
  expect(listLayouts({ mountinfo: "", membership: "" }, true)).toEqual([]);
});

test("the limits of a v2 sandbox are written into one group that it is born in", () => {
  const [layout] = listLayouts({ mountinfo: UNIFIED, membership: "0::/\n" }, true);
  const limits = { ...DEFAULT_LIMITS, memoryBytes: 1000, pids: 7, cpus: 1.5 };
  expect(makeGroups(layout as GroupLayout, "sbx_a", limits)).toEqual([
    {
      path: "/sys/fs/cgroup/paddock/sbx_a",
      join: "clone",
      writes: [
        ["memory.max", "1000"],
        ["memory.swap.max?", "0"],
        ["pids.max", "7"],
        ["cpu.max", "150000 100000"],
      ],
    },
  ]);
});

test("the limits of a v1 sandbox include swap, and each controller is joined by its tasks file", () => {
  const [layout] = listLayouts({ mountinfo: HYBRID, membership: "0::/\n" }, true);
  const groups = makeGroups(layout as GroupLayout, "sbx_a", { ...DEFAULT_LIMITS, memoryBytes: 1000 });
  const memory = groups.find(({ path }) => path.includes("/memory/"));
  expect(memory?.writes).toEqual([
    ["memory.limit_in_bytes", "1000"],
    ["memory.memsw.limit_in_bytes?", "1000"],
    ["memory.kmem.tcp.limit_in_bytes?", "250"],
  ]);
  expect(groups.map(({ path, join }) => [path.split("/")[4], join])).toEqual([
    ["memory", "tasks"],
    ["pids", "tasks"],
    ["cpu,cpuacct", "tasks"],
    ["unified", "clone"],
  ]);
});
