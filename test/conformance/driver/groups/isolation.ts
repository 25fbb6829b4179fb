import { expect } from "vitest";
import type { Checks } from "../check.ts";
import { readText } from "../scan.ts";

const STATUS = `
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
`;

/** Prints the device nodes among these that open; `/dev/null` shows that the program can tell. */
const OPEN_DEVICES = `
import os, stat
for path in ("/dev/null", "/dev/fuse", "/dev/net/tun"):
    try:
        fd = os.open(path, os.O_RDWR)
        if stat.S_ISCHR(os.fstat(fd).st_mode): print(path)
    except OSError: pass
`;

export function checkIsolation(checks: Checks): void {
  checks.check("devices: neither FUSE nor tunnels can be opened", async (bed) => {
    await using guest = await bed.guest({});
    const { stdout } = await guest.run(["/usr/bin/python3", "-I", "-c", OPEN_DEVICES]);
    expect(stdout.text).toBe("/dev/null\n");
  });

  checks.check("a guest is no root, has no capability and can gain none", async (bed) => {
    await using guest = await bed.guest();
    const facts = await guest.python<Record<string, unknown>>(`${STATUS}
import ctypes, os, shutil, subprocess
shutil.copy("/usr/bin/id", "/workspace/id"); os.chmod("/workspace/id", 0o6755)
result = {"ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()], "groups": [g for g in os.getgroups() if g != os.getgid()],
  "capabilities": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if name in status],
  "no_new_privs": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0), "setuid": subprocess.run(["/workspace/id", "-u"], capture_output=True, text=True).stdout.strip()}`);
    const [uid] = facts["ids"] as number[];
    expect(uid).toBeGreaterThan(0);
    expect(facts).toMatchObject({ no_new_privs: 1, groups: [], setuid: String(uid) });
    expect((facts["capabilities"] as number[]).every((set) => set === 0)).toBe(true);
  });

  checks.check("the record says what stands between guest and host", async (bed) => {
    await using guest = await bed.guest();
    const { isolation } = guest.host;
    const { seccomp = "filter", distinct_uid = true, workspace = "image" } = checks.subject.isolation ?? {};
    expect(isolation).toMatchObject({
      driver: bed.driver.name,
      seccomp,
      distinct_uid,
      kernel: expect.stringMatching(/\S/),
      version: expect.stringMatching(/\d/),
      limits: { mode: expect.stringMatching(/^cgroup[12]$/), workspace },
    });
  });

  checks.check("refused system calls are refused", async (bed) => {
    await using guest = await bed.guest();
    const done = await guest.python<string[]>(`
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
result = []
def attempt(name, value):
    if value >= 0: result.append(name)
attempt("unshare user", libc.unshare(0x10000000))
attempt("mount", libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
attempt("ptrace init", libc.ptrace(16, 1, 0, 0))
attempt("bpf", libc.syscall({"x86_64": 321, "aarch64": 280}[os.uname().machine], 0, 0, 0))
attempt("keyctl", libc.syscall({"x86_64": 250, "aarch64": 219}[os.uname().machine], 0, 0, 0))
attempt("userfaultfd", libc.syscall({"x86_64": 323, "aarch64": 282}[os.uname().machine], 0))
attempt("packet socket", libc.socket(17, 3, 0))`);
    expect(done).toEqual([]);
  });

  checks.check("only the workspace and scratch folders take files", async (bed) => {
    await using guest = await bed.guest();
    const writable = await guest.python<string[]>(`
import os
result = []
for folder in ["/", "/bin", "/dev", "/etc", "/home", "/opt", "/opt/paddock", "/opt/paddock/supervisor", "/opt/paddock/node/bin", "/proc", "/proc/sys/kernel", "/root", "/run", "/run/paddock", "/srv", "/sys", "/tmp", "/usr", "/usr/local", "/usr/lib", "/var", "/var/lib", "/workspace"]:
    try:
        os.close(os.open(folder + "/probe-file", os.O_CREAT | os.O_WRONLY)); os.unlink(folder + "/probe-file"); result.append(folder)
    except OSError: pass`);
    expect(writable).toEqual(["/tmp", "/workspace"]);
  });

  checks.check("nothing of the host shows: files, mounts, processes, kernel settings", async (bed) => {
    await using guest = await bed.guest();
    const facts = await guest.python<{ text: string; pids: number[]; open: string[]; wrote: string[] }>(`
import os
text = ""
for name in ["/proc/self/mountinfo", "/proc/1/cmdline", "/etc/hosts", "/etc/passwd", "/etc/resolv.conf", "/etc/hostname", "/proc/self/cgroup"]:
    try: text += open(name).read() + "\\n"
    except OSError: pass
found, wrote = [], []
for name in ["/etc/shadow", "/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/timer_list", "/proc/1/environ", "/proc/1/mem", "/dev/mem", "/dev/kvm", "/dev/loop0", "/dev/vda"]:
    try:
        with open(name, "rb") as file:
            if file.read(1).strip(b"\\0"): found.append(name)
    except OSError: pass
for name in ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches"]:
    try: open(name, "w").write("x"); wrote.append(name)
    except OSError: pass
result = {"text": text, "pids": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()), "open": found, "wrote": wrote}`);
    expect(facts.open).toEqual([]);
    expect(facts.wrote).toEqual([]);
    expect(facts.pids[0]).toBe(1);
    expect(facts.pids.length).toBeLessThan(10);
    // As a word: a short name may stand in an id by chance.
    expect(facts.text.split(/[^\w.-]+/)).not.toContain(readText("/etc/hostname").trim() || "\0");
    expect(facts.text).not.toContain(bed.specs.get(guest.id)?.key);
  });

  checks.check("two sandboxes share neither files nor processes nor names", async (bed) => {
    await using one = await bed.guest();
    await using two = await bed.guest();
    await one.run(["/bin/sh", "-c", "echo secret | tee /tmp/mark /dev/shm/mark /workspace/mark"]);
    const seen = await two.python<string[]>(
      "import os\nresult = [p for p in ('/tmp/mark', '/dev/shm/mark', '/workspace/mark') if os.path.exists(p)]",
    );
    expect(seen).toEqual([]);
    const nameOf = "import socket\nresult = socket.gethostname()";
    expect(await one.python(nameOf)).not.toBe(await two.python(nameOf));
  });
}
