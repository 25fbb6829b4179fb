import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compileSeccomp } from "../../../src/drivers/seccomp/bpf.ts";
import { type SeccompArch, SYSCALL_NUMBERS } from "../../../src/drivers/seccomp/syscalls.ts";
import { lacks } from "../../support/needs.ts";
import { canRunSandbox, runInSandbox } from "./sandbox.ts";

const arch: SeccompArch = process.arch === "arm64" ? "arm64" : "x64";
const filter = compileSeccomp(arch);
const probe = readFileSync(new URL("probe.py", import.meta.url), "utf8");

interface Case {
  readonly name: string;
  readonly call?: string;
  readonly number?: number;
  readonly args?: readonly (number | string)[];
  readonly outcome: string;
  /**
   * Why the call may end the same way without the filter: then the live run proves nothing and the interpreter's test
   * stands alone.
   */
  readonly mayBeVoid?: string;
}

const NONE = [0, 0, 0, 0, 0, 0];
const BAD_FD = [-1, 0, 0, 0, 0, 0];
const refused = (names: string, args: readonly number[]): Case[] =>
  names.split(" ").map((name) => ({ name, args, outcome: "EPERM" }));

/**
 * Arguments are such that an unfiltered kernel either does something harmless in the sandbox or fails in another way.
 */
const CASES: readonly Case[] = [
  { name: "unshare", args: [0x20000], outcome: "EPERM" },
  { name: "clone NEWUSER", call: "clone", args: [0x10000011, 0, 0, 0, 0], outcome: "EPERM" },
  { name: "clone3", args: [0, 0], outcome: "ENOSYS" },
  ...refused("setns open_tree move_mount fsconfig fsmount fspick", BAD_FD),
  ...refused("mount umount2 pivot_root chroot fsopen mount_setattr add_key request_key", NONE),
  { name: "keyctl", args: [0, -1, 0], outcome: "EPERM" },
  { name: "bpf", args: NONE, outcome: "EPERM", mayBeVoid: "unprivileged_bpf_disabled" },
  { name: "userfaultfd", args: [1], outcome: "EPERM" },
  { name: "perf_event_open", args: NONE, outcome: "EPERM", mayBeVoid: "perf_event_paranoid" },
  { name: "io_uring_setup", args: [1, 0], outcome: "EPERM", mayBeVoid: "io_uring_disabled" },
  ...refused("io_uring_enter io_uring_register vmsplice pidfd_getfd", BAD_FD),
  { name: "cachestat", args: BAD_FD, outcome: "EPERM" },
  { name: "memfd_secret", args: NONE, outcome: "EPERM" },
  { name: "fanotify_mark", args: BAD_FD, outcome: "EPERM" },
  { name: "ptrace", args: NONE, outcome: "EPERM" },
  { name: "process_vm_readv", args: ["SELF", 0, 0, 0, 0, 0], outcome: "EPERM" },
  { name: "process_vm_writev", args: ["SELF", 0, 0, 0, 0, 0], outcome: "EPERM" },
  { name: "kcmp", args: ["SELF", "SELF", 1, 0, 0], outcome: "EPERM" },
  { name: "process_madvise", args: BAD_FD, outcome: "EPERM" },
  ...refused("move_pages get_robust_list name_to_handle_at get_mempolicy set_mempolicy", NONE),
  { name: "sethostname", args: [0, 1000], outcome: "EPERM" },
  { name: "personality", args: [0x40000], outcome: "EPERM" },
  { name: "personality query", call: "personality", args: [0xffff_ffff], outcome: "ok" },
  { name: "TIOCSTI", call: "ioctl", args: [-1, 0x5412, 0], outcome: "EPERM" },
  { name: "TIOCSTI with high bits", call: "ioctl", args: [-1, 0x1_0000_5412, 0], outcome: "EPERM" },
  { name: "TIOCLINUX", call: "ioctl", args: [-1, 0x541c, 0], outcome: "EPERM" },
  { name: "a filter of calls", call: "seccomp", args: [1, 0, 0], outcome: "ENOSYS" },
  { name: "a filter of calls by prctl", call: "prctl", args: [22, 2, 0, 0, 0], outcome: "EPERM" },
  { name: "a filter of calls, with high bits", call: "prctl", args: [0x1_0000_0016, 2, 0, 0, 0], outcome: "EPERM" },
  { name: "prctl, anything else", call: "prctl", args: [39, 0, 0, 0, 0], outcome: "ok" },
  ...[26, 50, 51, 52].map((option) => ({
    name: `a filter of a socket (${option})`,
    call: "setsockopt",
    args: [-1, 1, option, 0, 0],
    outcome: "EPERM",
  })),
  { name: "AF_VSOCK", call: "socket", args: [40, 1, 0], outcome: "EAFNOSUPPORT", mayBeVoid: "kernel without vsock" },
  { name: "AF_ALG", call: "socket", args: [38, 5, 0], outcome: "EAFNOSUPPORT", mayBeVoid: "kernel without AF_ALG" },
  {
    name: "AF_PACKET",
    call: "socket",
    args: [17, 3, 0],
    outcome: "EAFNOSUPPORT",
    mayBeVoid: "kernel without packet sockets",
  },
  { name: "netfilter netlink", call: "socket", args: [16, 3, 12], outcome: "EAFNOSUPPORT" },
  { name: "raw ICMP", call: "socket", args: [2, 3, 1], outcome: "EPERM" },
  {
    name: "UDP-Lite",
    call: "socket",
    args: [2, 2, 136],
    outcome: "EPROTONOSUPPORT",
    mayBeVoid: "removed from newer kernels",
  },
  { name: "route netlink", call: "socket", args: [16, 3, 0], outcome: "ok" },
  { name: "TCP", call: "socket", args: [2, 1, 6], outcome: "ok" },
  { name: "prlimit64 of pid 1", call: "prlimit64", args: [1, 0, 0, 0], outcome: "EPERM" },
  { name: "prlimit64 of the caller", call: "prlimit64", args: [0, 0, 0, 0], outcome: "ok" },
  { name: "setpriority of pid 1", call: "setpriority", args: [0, 1, 0], outcome: "EPERM" },
  { name: "setpriority of the caller", call: "setpriority", args: [0, 0, 5], outcome: "ok" },
  { name: "ioprio_set of pid 1", call: "ioprio_set", args: [1, 1, 0], outcome: "EPERM" },
  ...["sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"].map((call) => ({
    name: `${call} of pid 1`,
    call,
    args: [1, 0, 0],
    outcome: "EPERM",
  })),
  { name: "character device", call: "mknodat", args: [-100, 0, 0o020666, 0x103], outcome: "EPERM" },
  { name: "FIFO", call: "mknodat", args: [-100, "PATH", 0o010600, 0], outcome: "ok" },
  { name: "io_setup", args: [1, 0], outcome: "ENOSYS" },
  { name: "x32 getpid", number: 0x4000_0000 + 39, outcome: "ENOSYS", mayBeVoid: "kernel without x32" },
];

const X64_CASES: readonly Case[] = [
  { name: "modify_ldt", args: NONE, outcome: "EPERM", mayBeVoid: "kernel without modify_ldt" },
  { name: "int80", number: 0, outcome: "SIGSYS" },
  { name: "i386", number: 0, outcome: "SIGSYS" },
];

const cases = arch === "x64" ? [...CASES, ...X64_CASES] : CASES;

function observe(program?: Buffer): Record<string, string> {
  const calls = cases.map(({ name, call, number, args }) => [
    name,
    number ?? SYSCALL_NUMBERS[arch].get(call ?? name),
    args ?? [],
  ]);
  const { status, stdout, stderr } = runInSandbox(
    ["/usr/bin/python3", "-I", "-c", probe, JSON.stringify(calls)],
    program,
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, string>;
}

describe.skipIf(lacks(canRunSandbox, "a working bubblewrap"))(
  "under the filter, with every capability of its user namespace, a guest",
  () => {
    const withFilter = canRunSandbox ? observe(filter) : {};
    const without = canRunSandbox ? observe() : {};

    test.for(cases)("sees $outcome for $name", ({ name, outcome, mayBeVoid }) => {
      expect(withFilter[name]).toBe(outcome);
      if (outcome === "ok") return;
      // Where the kernel itself has no such thing the live call proves nothing; the interpreter's tests over the
      // program do.
      if (mayBeVoid !== undefined && without[name] === outcome)
        return console.warn(`${name}: no positive control here: ${mayBeVoid}`);
      expect(without[name], "the same call without the filter").not.toBe(outcome);
    });
  },
);

test.skipIf(lacks(canRunSandbox, "a working bubblewrap")).each([0, 8, 64, filter.length - 8, filter.length - 4])(
  "a filter cut to %i bytes starts nothing",
  (length) => {
    const { status, stdout } = runInSandbox(["/bin/echo", "ran"], filter.subarray(0, length));
    expect(stdout).toBe("");
    expect(status).toBeGreaterThan(0);
  },
);
