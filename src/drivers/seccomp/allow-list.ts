import { type SeccompRule, splitNames } from "./rule.ts";

const allow = (group: string, names: string, reason: string): SeccompRule => ({
  group,
  syscalls: splitNames(names),
  action: "allow",
  reason,
});

/**
 * Calls that ordinary programs need, whatever their arguments. A call is added here only with a program that needs it.
 */
export const ALLOWED_RULES: readonly SeccompRule[] = [
  allow(
    "descriptors",
    `read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2 dup3 fcntl flock
     pipe pipe2 eventfd eventfd2 signalfd signalfd4 memfd_create copy_file_range sendfile splice tee`,
    "reading, writing and passing data",
  ),
  allow(
    "waiting",
    "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2",
    "event loops",
  ),
  allow(
    "files",
    `open openat openat2 creat stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getcwd chdir fchdir
     mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat getdents getdents64 truncate ftruncate
     fallocate fadvise64 readahead sync syncfs fsync fdatasync sync_file_range umask chmod fchmod fchmodat fchmodat2 chown fchown lchown
     fchownat utime utimes futimesat utimensat statfs fstatfs inotify_init inotify_init1 inotify_add_watch inotify_rm_watch`,
    "the workspace; what may be opened is decided by mounts. Set-user-ID bits are not filtered: no_new_privs and nosuid take their effect",
  ),
  allow(
    "attributes",
    `setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr`,
    "cp -a, tar and git; the kernel guards trusted and security names",
  ),
  allow(
    "memory",
    `brk mmap munmap mremap mprotect madvise msync mincore mlock mlock2 munlock mlockall munlockall membarrier mseal pkey_mprotect
     pkey_alloc pkey_free`,
    "allocators, just-in-time compilers, garbage collectors",
  ),
  allow(
    "processes",
    `fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid setpgid getpgrp getsid setsid set_tid_address
     set_robust_list futex futex_waitv rseq arch_prctl landlock_create_ruleset landlock_add_rule landlock_restrict_self
     pidfd_open restart_syscall`,
    "starting, naming and awaiting processes and threads; Landlock can only give up rights under no_new_privs",
  ),
  allow(
    "signals",
    `kill tkill tgkill pidfd_send_signal rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo
     rt_tgsigqueueinfo rt_sigsuspend sigaltstack pause alarm getitimer setitimer`,
    "bounded by the process namespace, whose pid 1 no signal from inside reaches",
  ),
  allow(
    "time",
    `nanosleep clock_gettime clock_getres clock_nanosleep gettimeofday time times timer_create timer_settime timer_gettime
     timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime`,
    "clocks and timers; setting the clock is refused",
  ),
  allow(
    "limits and scheduling",
    `getrlimit setrlimit getrusage getpriority ioprio_get sched_yield sched_getparam sched_getscheduler sched_get_priority_max
     sched_get_priority_min sched_rr_get_interval sched_getaffinity sched_getattr getcpu`,
    "reading, and the caller's own limits",
  ),
  allow(
    "identity",
    `getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid
     setfsgid capget capset`,
    "one user is mapped and no capability is held, so a change can only fail or do nothing; git, npm and tar call them",
  ),
  allow(
    "network",
    `bind listen accept accept4 connect getsockname getpeername sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg getsockopt
     shutdown`,
    "on the sockets that the family rule let through; the network namespace holds loopback only",
  ),
  allow(
    "interprocess",
    `shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive
     mq_notify mq_getsetattr`,
    "bounded by the IPC namespace; databases and fakeroot use them",
  ),
  allow("system facts", "uname sysinfo getrandom", "read-only facts and randomness"),
];
