import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

// Python speaks to the warm interpreter: Node can neither open a SOCK_SEQPACKET socket nor pass descriptors.
const folder = join(import.meta.dirname);

test.each(["test_python_runs", "test_python_rich", "test_python_packages"])(
  "the warm Python interpreter keeps its contract: %s",
  (name) => {
    const { status, stderr } = spawnSync("python3", ["-B", "-m", "unittest", "-v", name], {
      cwd: folder,
      encoding: "utf8",
    });
    const failures = stderr.slice(stderr.indexOf("\n====="));
    expect(status, failures).toBe(0);
    expect(stderr).toMatch(/Ran [1-9]\d* tests/);
  },
);
