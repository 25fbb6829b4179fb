import { type SeccompAction, type SeccompRule, splitNames } from "./rule.ts";

const refuse = (group: string, action: SeccompAction, names: string, reason: string): SeccompRule => ({
  group,
  syscalls: splitNames(names),
  action,
  reason,
});

/**
 * Calls refused whatever their arguments. Being absent from the allow-list would refuse them too, with ENOSYS; they are
 * named because a program must hear "not permitted" rather than "unknown", and because a test holds this floor against
 * the allow-list.
 */
export const REFUSED_RULES: readonly SeccompRule[] = [
  refuse(
    "namespaces",
    "EPERM",
    "unshare setns",
    "a nested user namespace opens most of the kernel's privileged code to a guest",
  ),
  refuse(
    "namespaces",
    "ENOSYS",
    "clone3",
    "its flags lie behind a pointer that a filter cannot read (CVE-2021-41133); C libraries fall back to clone on ENOSYS",
  ),
  refuse(
    "mounts",
    "EPERM",
    `mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr
     quotactl quotactl_fd swapon swapoff`,
    "the mount table is the sandbox's wall: masks over /proc and read-only roots hold only while it cannot change",
  ),
  refuse(
    "mounts",
    "ENOSYS",
    "statmount listmount listns",
    "queries that show the host side of mounts and namespaces; libraries fall back to /proc/self/mountinfo on ENOSYS",
  ),
  refuse(
    "keyrings",
    "EPERM",
    "add_key request_key keyctl",
    "keyrings are not namespaced: storage shared between sandboxes",
  ),
  refuse(
    "kernel surface",
    "EPERM",
    `bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register fanotify_init fanotify_mark lookup_dcookie
     vmsplice memfd_secret map_shadow_stack cachestat lsm_get_self_attr lsm_set_self_attr lsm_list_modules`,
    "a record of privilege escalations and no ordinary user; io_uring also opens files and sockets behind this filter",
  ),
  refuse(
    "other processes",
    "EPERM",
    `ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise process_mrelease get_robust_list move_pages
     migrate_pages`,
    "reads, changes or probes another process: the supervisor shares the guest's uid",
  ),
  refuse(
    "file handles",
    "EPERM",
    "name_to_handle_at open_by_handle_at",
    "opens files by inode past every mount (the Shocker escape)",
  ),
  refuse(
    "system",
    "EPERM",
    `kexec_load kexec_file_load init_module finit_module delete_module reboot acct syslog settimeofday clock_settime
     clock_adjtime adjtimex sethostname setdomainname iopl ioperm vhangup uselib ustat sysfs _sysctl nfsservctl`,
    "administers the machine, reads its log, or has been obsolete for years",
  ),
  refuse("legacy modes", "EPERM", "modify_ldt", "16-bit segments: a repeated source of leaks and escalations"),
  refuse(
    "NUMA",
    "EPERM",
    "mbind set_mempolicy get_mempolicy set_mempolicy_home_node",
    "places memory on the host's nodes; libraries treat EPERM as a machine without NUMA",
  ),
  refuse(
    "filters",
    "ENOSYS",
    "seccomp",
    "compiled filters come out of one budget of the whole host (bpf_jit_limit), and without it no sandbox starts; libraries take ENOSYS for a kernel without filters",
  ),
  refuse(
    "asynchronous I/O",
    "ENOSYS",
    "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents",
    "its quota (fs.aio-max-nr) is one for the whole host, so one guest starves a database; libraries fall back on ENOSYS",
  ),
];
