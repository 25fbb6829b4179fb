// The floor of the policy, written out by number and apart from the compiler's own tables: name:x64:arm64, `-` where
// absent. Numbers were taken from the kernel's headers.

const EPERM = `
  unshare:272:97 setns:308:268 mount:165:40 umount2:166:39 pivot_root:155:41 chroot:161:51 open_tree:428:428
  move_mount:429:429 fsopen:430:430 fsconfig:431:431 fsmount:432:432 fspick:433:433 mount_setattr:442:442
  open_tree_attr:467:467 quotactl:179:60 quotactl_fd:443:443 swapon:167:224 swapoff:168:225 add_key:248:217
  request_key:249:218 keyctl:250:219 bpf:321:280 perf_event_open:298:241 userfaultfd:323:282 io_uring_setup:425:425
  io_uring_enter:426:426 io_uring_register:427:427 fanotify_init:300:262 fanotify_mark:301:263 lookup_dcookie:212:18
  vmsplice:278:75 memfd_secret:447:447 map_shadow_stack:453:453 cachestat:451:451 lsm_get_self_attr:459:459
  lsm_set_self_attr:460:460 lsm_list_modules:461:461 ptrace:101:117 process_vm_readv:310:270 process_vm_writev:311:271
  kcmp:312:272 pidfd_getfd:438:438 process_madvise:440:440 process_mrelease:448:448 get_robust_list:274:100
  move_pages:279:239 migrate_pages:256:238 name_to_handle_at:303:264 open_by_handle_at:304:265 kexec_load:246:104
  kexec_file_load:320:294 init_module:175:105 finit_module:313:273 delete_module:176:106 reboot:169:142 acct:163:89
  syslog:103:116 settimeofday:164:170 clock_settime:227:112 clock_adjtime:305:266 adjtimex:159:171 sethostname:170:161
  setdomainname:171:162 iopl:172:- ioperm:173:- vhangup:153:58 uselib:134:- ustat:136:- sysfs:139:- _sysctl:156:-
  nfsservctl:180:42 modify_ldt:154:- mbind:237:235 set_mempolicy:238:237 get_mempolicy:239:236
  set_mempolicy_home_node:450:450
`;

const ENOSYS = `
  clone3:435:435 statmount:457:457 listmount:458:458 listns:470:470 io_setup:206:0 io_destroy:207:1 io_submit:209:2
  io_cancel:210:3 io_getevents:208:4 io_pgetevents:333:292 seccomp:317:277
`;

export interface FloorCall {
  readonly name: string;
  readonly errno: "EPERM" | "ENOSYS";
  readonly numbers: { readonly x64: number | undefined; readonly arm64: number | undefined };
}

function parseFloor(text: string, errno: FloorCall["errno"]): FloorCall[] {
  const parse = (digits: string | undefined) => (digits === undefined || digits === "-" ? undefined : Number(digits));
  return text
    .trim()
    .split(/\s+/)
    .map((item) => {
      const [name = "", x64, arm64] = item.split(":");
      return { name, errno, numbers: { x64: parse(x64), arm64: parse(arm64) } };
    });
}

/** Calls that no argument may open. */
export const FLOOR: readonly FloorCall[] = [...parseFloor(EPERM, "EPERM"), ...parseFloor(ENOSYS, "ENOSYS")];

/** The calls whose arguments decide, by number. */
export const GUARDED = {
  x64: {
    clone: 56,
    ioctl: 16,
    prctl: 157,
    setsockopt: 54,
    socket: 41,
    socketpair: 53,
    personality: 135,
    prlimit64: 302,
    sched_setaffinity: 203,
    sched_setattr: 314,
    sched_setparam: 142,
    sched_setscheduler: 144,
    setpriority: 141,
    ioprio_set: 251,
    mknod: 133,
    mknodat: 259,
  },
  arm64: {
    clone: 220,
    ioctl: 29,
    prctl: 167,
    setsockopt: 208,
    socket: 198,
    socketpair: 199,
    personality: 92,
    prlimit64: 261,
    sched_setaffinity: 122,
    sched_setattr: 274,
    sched_setparam: 118,
    sched_setscheduler: 119,
    setpriority: 140,
    ioprio_set: 30,
    mknod: undefined,
    mknodat: 33,
  },
} as const;

/** A few calls without which nothing runs. */
export const HOT = {
  x64: { read: 0, write: 1, futex: 202, openat: 257 },
  arm64: { read: 63, write: 64, futex: 98, openat: 56 },
} as const;

const ALLOWED_RANGES = {
  x64: `
    0-15 17-40 42-52 55 57-100 102 104-132 137-138 140 143 145-152 158 160 162 186-202 204 213 217-226
    228-235 240-245 247 252-255 257-258 260-271 273 275-277 280-297 299 306-307 309 315-316 318-319 322 324-332 334 424
    434 436-437 439 441 444-446 449 452 462
  `,
  arm64: `
    5-17 19-28 31-32 34-38 43-50 52-57 59 61-74 76-88 90-91 93-96 98-99 101-103 107-111 113-115 120-121 123-139
    141 143-160 163-166 168-169 172-197 200-207 209-216 221-223 226-233 240 242-243 260 267 269 275-276 278-279 281 283-291 293 424 434
    436-437 439 441 444-446 449 452 462
  `,
} as const;

function parseRanges(text: string): number[] {
  return text
    .trim()
    .split(/\s+/)
    .flatMap((range) => {
      const [first = Number.NaN, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** Every number that is allowed whatever its arguments: a change of the allow-list has to be made here too. */
export const ALLOWED_NUMBERS = {
  x64: parseRanges(ALLOWED_RANGES.x64),
  arm64: parseRanges(ALLOWED_RANGES.arm64),
} as const;
