import { expect, test } from "vitest";
import { type BubblewrapPlan, makeBubblewrapArguments } from "../../../src/drivers/bubblewrap/arguments.ts";
import { type Base, makeDataFiles } from "../../../src/drivers/bubblewrap/base.ts";

const BASE: Base = {
  root: [
    { kind: "symlink", path: "/bin", target: "usr/bin" },
    { kind: "bind", path: "/lib64" },
  ],
  hidesUsrLocal: true,
  etc: ["/etc/alternatives"],
  localtime: "/usr/share/zoneinfo/Etc/UTC",
  maskedFiles: ["/proc/keys"],
  maskedFolders: ["/proc/scsi"],
};

const PLAN: BubblewrapPlan = {
  hostname: "sbx-12345678",
  base: BASE,
  dataFiles: makeDataFiles("sbx-12345678", "/workspace"),
  caBundle: "/home-of-paddock/bin/ca-1/ca.pem",
  supervisor: "/home-of-paddock/bin/supervisor-1",
  node: "/home-of-paddock/bin/node-1",
  mounts: [{ source: "/home-of-paddock/templates/abc", target: "/opt/paddock/env", writable: false }],
  socketDir: "/home-of-paddock/run/sbx_1",
  tmpBytes: 1000,
  hasOwnTerminals: false,
  workspace: { kind: "bind", path: "/workspace", source: "/w/mount", readOnly: false, byDescriptor: true },
};

/** Number of arguments of each option that is used. */
const OPTION_ARGUMENTS: Readonly<Record<string, number>> = {
  "--bind": 2,
  "--bind-fd": 2,
  "--cap-drop": 1,
  "--chdir": 1,
  "--dev": 1,
  "--dev-bind": 2,
  "--dir": 1,
  "--gid": 1,
  "--hostname": 1,
  "--json-status-fd": 1,
  "--perms": 1,
  "--proc": 1,
  "--remount-ro": 1,
  "--ro-bind": 2,
  "--ro-bind-data": 2,
  "--ro-bind-fd": 2,
  "--seccomp": 1,
  "--setenv": 2,
  "--size": 1,
  "--symlink": 2,
  "--tmpfs": 1,
  "--uid": 1,
};

const MAKING = [
  "--bind",
  "--bind-fd",
  "--dev",
  "--dir",
  "--proc",
  "--ro-bind",
  "--ro-bind-data",
  "--ro-bind-fd",
  "--symlink",
  "--tmpfs",
];

interface Operation {
  readonly option: string;
  readonly values: readonly string[];
}

function parse(list: readonly string[]): Operation[] {
  const operations: Operation[] = [];
  for (let index = 0; index < list.length; ) {
    const option = list[index] as string;
    const count = OPTION_ARGUMENTS[option] ?? 0;
    operations.push({ option, values: list.slice(index + 1, index + 1 + count) });
    index += 1 + count;
  }
  return operations;
}

const targetOf = ({ values }: Operation): string => values.at(-1) ?? "";

test("the options are these, in this order", () => {
  const text = parse(makeBubblewrapArguments(PLAN)).map(({ option, values }) => [option, ...values].join(" "));
  expect(text).toEqual([
    "--unshare-user",
    "--unshare-all",
    "--disable-userns",
    "--cap-drop ALL",
    "--new-session",
    "--die-with-parent",
    "--as-pid-1",
    "--uid 1000",
    "--gid 1000",
    "--hostname sbx-12345678",
    "--size 8388608",
    "--tmpfs /",
    "--ro-bind /usr /usr",
    "--size 4096",
    "--tmpfs /usr/local",
    "--remount-ro /usr/local",
    "--symlink usr/bin /bin",
    "--ro-bind /lib64 /lib64",
    "--perms 0755",
    "--dir /etc",
    "--perms 0644",
    "--ro-bind-data 14 /etc/passwd",
    "--perms 0644",
    "--ro-bind-data 15 /etc/group",
    "--perms 0644",
    "--ro-bind-data 16 /etc/nsswitch.conf",
    "--perms 0644",
    "--ro-bind-data 17 /etc/hosts",
    "--ro-bind /etc/alternatives /etc/alternatives",
    "--symlink /usr/share/zoneinfo/Etc/UTC /etc/localtime",
    "--ro-bind /home-of-paddock/bin/ca-1/ca.pem /etc/paddock/ca.pem",
    "--proc /proc",
    "--ro-bind /dev/null /proc/keys",
    "--size 4096",
    "--tmpfs /proc/scsi",
    "--remount-ro /proc/scsi",
    "--dev /dev",
    "--size 67108864",
    "--perms 1777",
    "--tmpfs /dev/shm",
    "--remount-ro /dev",
    "--size 1000",
    "--perms 1777",
    "--tmpfs /tmp",
    "--dir /var",
    "--symlink ../tmp /var/tmp",
    "--ro-bind /home-of-paddock/bin/supervisor-1 /opt/paddock/supervisor",
    "--ro-bind /home-of-paddock/bin/node-1 /opt/paddock/node",
    "--ro-bind /home-of-paddock/run/sbx_1 /run/paddock",
    "--ro-bind /home-of-paddock/templates/abc /opt/paddock/env",
    "--bind-fd 13 /workspace",
    "--remount-ro /",
    "--chdir /workspace",
    "--clearenv",
    "--setenv PATH /opt/paddock/node/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "--setenv HOME /workspace",
    "--setenv LANG C.UTF-8",
    "--seccomp 12",
    "--json-status-fd 11",
  ]);
});

const PORTER: BubblewrapPlan = {
  ...PLAN,
  mounts: [
    { source: "/a", target: "/mnt/writable", writable: true },
    { source: "/b", target: "/mnt/fixed", writable: false },
  ],
  workspace: { kind: "bind", path: "/agent", source: "/w/tree", readOnly: false, byDescriptor: false },
};

test.each([
  ["a sandbox", PLAN],
  ["a porter", PORTER],
  ["a sandbox in memory", { ...PLAN, workspace: { kind: "tmpfs", path: "/workspace", bytes: 4096 } as const }],
])("in %s the workspace is the last thing made and nothing is named below what a guest can write to", (_, plan) => {
  const operations = parse(makeBubblewrapArguments(plan));
  const making = operations.filter(({ option }) => MAKING.includes(option));
  expect(targetOf(making.at(-1) as Operation)).toBe(plan.workspace.path);
  const writable = new Set<string>();
  for (const operation of making) {
    const target = targetOf(operation);
    for (const folder of writable) expect(target.startsWith(`${folder}/`), `${target} lies in ${folder}`).toBe(false);
    if (operation.option === "--bind" || operation.option === "--bind-fd") writable.add(target);
  }
  expect(writable.size).toBe(
    plan.mounts.filter((mount) => mount.writable).length + Number(plan.workspace.kind === "bind"),
  );
});

test("every tmpfs has a size, and none of the options that weaken a sandbox appears", () => {
  const list = makeBubblewrapArguments(PLAN);
  const operations = parse(list);
  for (const [index, { option }] of operations.entries()) {
    if (option !== "--tmpfs") continue;
    const before = operations.slice(Math.max(0, index - 2), index).map((operation) => operation.option);
    expect(before).toContain("--size");
  }
  for (const option of [
    "--dev-bind",
    "--share-net",
    "--cap-add",
    "--bind-try",
    "--ro-bind-try",
    "--unshare-user-try",
  ]) {
    expect(list).not.toContain(option);
  }
});

test("terminals of its own are the one device folder that is bound, over those that bubblewrap makes", () => {
  const operations = parse(makeBubblewrapArguments({ ...PLAN, hasOwnTerminals: true }));
  const index = operations.findIndex(({ option }) => option === "--dev-bind");
  expect(operations[index]?.values).toEqual(["/dev/pts", "/dev/pts"]);
  expect(operations[index - 1]).toMatchObject({ option: "--dev", values: ["/dev"] });
  expect(operations.toSpliced(index, 1)).toEqual(parse(makeBubblewrapArguments(PLAN)));
});

test("a read-only workspace is bound read-only, by descriptor and by path", () => {
  const bind = { kind: "bind", path: "/workspace", source: "/w/mount", readOnly: true } as const;
  const byDescriptor = makeBubblewrapArguments({ ...PLAN, workspace: { ...bind, byDescriptor: true } });
  expect(byDescriptor.join(" ")).toContain("--ro-bind-fd 13 /workspace --remount-ro /");
  const byPath = makeBubblewrapArguments({ ...PLAN, workspace: { ...bind, byDescriptor: false } });
  expect(byPath.join(" ")).toContain("--ro-bind /w/mount /workspace --remount-ro /");
});

test.each([
  "/",
  "/usr/x",
  "/etc",
  "/proc/x",
  "/dev",
  "/opt",
  "/opt/paddock",
  "/opt/paddock/node/x",
  "/run",
  "relative",
  "/a/../b",
  "/a/",
])("nothing is mounted at %s", (target) => {
  const workspace = { kind: "tmpfs", path: target, bytes: 4096 } as const;
  expect(() => makeBubblewrapArguments({ ...PLAN, workspace })).toThrow(/nothing can be mounted/);
  const mounts = [{ source: "/a", target, writable: false }];
  expect(() => makeBubblewrapArguments({ ...PLAN, mounts })).toThrow(/nothing can be mounted/);
});

test.each([
  ["/workspace/inner", "/workspace"],
  ["/workspace", "/workspace"],
])("a mount at %s is refused when the workspace is %s", (target, path) => {
  const plan: BubblewrapPlan = {
    ...PLAN,
    mounts: [{ source: "/a", target, writable: false }],
    workspace: { kind: "tmpfs", path, bytes: 4096 },
  };
  expect(() => makeBubblewrapArguments(plan)).toThrow(/can write to/);
});

test("a mount below another writable mount is refused", () => {
  const mounts = [
    { source: "/a", target: "/mnt/a", writable: true },
    { source: "/b", target: "/mnt/a/b", writable: false },
  ];
  expect(() => makeBubblewrapArguments({ ...PLAN, mounts })).toThrow(/can write to/);
});
