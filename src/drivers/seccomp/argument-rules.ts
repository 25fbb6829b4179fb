import { type ArgumentCase, type SeccompRule, splitNames } from "./rule.ts";

const CLONE_NEW_ANY = 0x7e02_0080;
const CLONE_PARENT = 0x8000;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
const PR_SET_SECCOMP = 22;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SO_ATTACH_BPF = 50;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const SO_ATTACH_REUSEPORT_EBPF = 52;
const PERSONALITY_QUERY = 0xffff_ffff;
const PRIO_PROCESS = 0;
const IOPRIO_WHO_PROCESS = 1;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
const SOCK_TYPE_MASK = 0xf;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_PACKET = 10;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

const S_IFMT = 0xf000;
const S_IFIFO = 0x1000;
const S_IFREG = 0x8000;
const S_IFSOCK = 0xc000;

const isInternet = { argument: 0, oneOf: [AF_INET, AF_INET6] } as const;

const SOCKET_CASES: readonly ArgumentCase[] = [
  { means: "AF_UNIX", when: [{ argument: 0, oneOf: [AF_UNIX] }], action: "allow" },
  {
    means: "AF_INET or AF_INET6, stream or datagram, protocol 0, TCP or UDP",
    when: [
      isInternet,
      { argument: 1, mask: SOCK_TYPE_MASK, oneOf: [SOCK_STREAM, SOCK_DGRAM] },
      { argument: 2, oneOf: [0, IPPROTO_TCP, IPPROTO_UDP] },
    ],
    action: "allow",
  },
  {
    means: "AF_INET or AF_INET6, SOCK_RAW or SOCK_PACKET",
    when: [isInternet, { argument: 1, mask: SOCK_TYPE_MASK, oneOf: [SOCK_RAW, SOCK_PACKET] }],
    action: "EPERM",
  },
  {
    means: "AF_INET or AF_INET6, anything else (SCTP, MPTCP, UDP-Lite, ping)",
    when: [isInternet],
    action: "EPROTONOSUPPORT",
  },
  {
    means: "AF_NETLINK, protocol NETLINK_ROUTE",
    when: [
      { argument: 0, oneOf: [AF_NETLINK] },
      { argument: 2, oneOf: [NETLINK_ROUTE] },
    ],
    action: "allow",
  },
];

const onlySelf: readonly ArgumentCase[] = [
  { means: "pid 0 (the caller)", when: [{ argument: 0, oneOf: [0] }], action: "allow" },
];

const whichAndSelf = (means: string, which: number): readonly ArgumentCase[] => [
  {
    means,
    when: [
      { argument: 0, oneOf: [which] },
      { argument: 1, oneOf: [0] },
    ],
    action: "allow",
  },
];

const plainNode = (argument: 1 | 2): readonly ArgumentCase[] => [
  {
    means: "regular file, FIFO or socket",
    when: [{ argument, mask: S_IFMT, oneOf: [0, S_IFREG, S_IFIFO, S_IFSOCK] }],
    action: "allow",
  },
];

const DEVICE_REASON = "device nodes give the host's devices wherever a mount lacks nodev";
const AIMED_REASON =
  "aimed at another process they end or starve it: prlimit64(1, RLIMIT_CPU, 0) killed the supervisor";

/** Calls whose arguments decide. */
export const GUARDED_RULES: readonly SeccompRule[] = [
  {
    group: "namespaces",
    syscalls: ["clone"],
    cases: [
      {
        means: "neither CLONE_NEW* nor CLONE_PARENT",
        when: [{ argument: 0, mask: CLONE_NEW_ANY + CLONE_PARENT, oneOf: [0] }],
        action: "allow",
      },
    ],
    action: "EPERM",
    reason:
      "threads and processes need it; new namespaces are refused as in unshare, and a child of one's parent passes for what the platform started",
  },
  {
    group: "filters",
    syscalls: ["prctl"],
    cases: [{ means: "PR_SET_SECCOMP", when: [{ argument: 0, oneOf: [PR_SET_SECCOMP] }], action: "EPERM" }],
    action: "allow",
    reason: "as seccomp; everything else it sets is the caller's own, and can only give up rights under no_new_privs",
  },
  {
    group: "filters",
    syscalls: ["setsockopt"],
    cases: [
      {
        means: "SOL_SOCKET with SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF or SO_ATTACH_REUSEPORT_EBPF",
        when: [
          { argument: 1, oneOf: [SOL_SOCKET] },
          {
            argument: 2,
            oneOf: [SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF],
          },
        ],
        action: "EPERM",
      },
    ],
    action: "allow",
    reason: "filters of sockets come out of the same budget; the rest concerns the caller's own socket",
  },
  {
    group: "terminal",
    syscalls: ["ioctl"],
    cases: [{ means: "TIOCSTI or TIOCLINUX", when: [{ argument: 1, oneOf: [TIOCSTI, TIOCLINUX] }], action: "EPERM" }],
    action: "allow",
    reason: "both type into the terminal's input; the low 32 bits decide, as in the kernel (CVE-2019-10063)",
  },
  {
    group: "sockets",
    syscalls: ["socket", "socketpair"],
    cases: SOCKET_CASES,
    action: "EAFNOSUPPORT",
    reason:
      "AF_ALG, AF_VSOCK (reaches the hypervisor), AF_PACKET and some forty more are kernel surface or ways past the proxy, and load modules",
  },
  {
    group: "legacy modes",
    syscalls: ["personality"],
    cases: [
      { means: "0 or the query 0xffffffff", when: [{ argument: 0, oneOf: [0, PERSONALITY_QUERY] }], action: "allow" },
    ],
    action: "EPERM",
    reason: "turns off address randomisation and makes readable memory executable",
  },
  {
    group: "aimed at others",
    syscalls: splitNames("prlimit64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler"),
    cases: onlySelf,
    action: "EPERM",
    reason: AIMED_REASON,
  },
  {
    group: "aimed at others",
    syscalls: ["setpriority"],
    cases: whichAndSelf("PRIO_PROCESS, who 0 (the caller)", PRIO_PROCESS),
    action: "EPERM",
    reason: AIMED_REASON,
  },
  {
    group: "aimed at others",
    syscalls: ["ioprio_set"],
    cases: whichAndSelf("IOPRIO_WHO_PROCESS, who 0 (the caller)", IOPRIO_WHO_PROCESS),
    action: "EPERM",
    reason: AIMED_REASON,
  },
  { group: "device nodes", syscalls: ["mknod"], cases: plainNode(1), action: "EPERM", reason: DEVICE_REASON },
  { group: "device nodes", syscalls: ["mknodat"], cases: plainNode(2), action: "EPERM", reason: DEVICE_REASON },
];
