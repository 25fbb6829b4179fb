import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { ProbeFinding } from "../../../src/drivers/driver.ts";
import type { Isolation } from "../../../src/model/isolation.ts";
import { lacks } from "../../support/needs.ts";
import { runAsUser } from "../../support/ordinary-user.ts";
import { isRoot, NOTHING_LEFT } from "./harness.ts";

const OWNER = fileURLToPath(new URL("./unprivileged-owner.ts", import.meta.url));
/** A user that nothing else on the machine runs as. */
const SOMEBODY = 61_234;

interface Seen {
  readonly isolation: Isolation;
  readonly findings: readonly ProbeFinding[];
  readonly status: Readonly<Record<string, string>>;
  readonly forks: number;
  readonly allocated: boolean;
  readonly kept: readonly string[];
  readonly leftovers: unknown;
  readonly usage: unknown;
  readonly volume: unknown;
  readonly before: number;
  readonly afterKill: number;
  readonly afterClose: number;
}

test.skipIf(lacks(isRoot, "root"))(
  "an ordinary user gets isolation, weaker limits that are named, and a clean host",
  () => {
    const root = mkdtempSync(join(tmpdir(), "paddock-user-"));
    chmodSync(root, 0o755);
    for (const name of ["home", "clone"]) mkdirSync(join(root, name));
    chownSync(join(root, "home"), SOMEBODY, SOMEBODY);
    try {
      const seen = runAsUser(SOMEBODY, join(root, "clone"), OWNER, join(root, "home")) as Seen;
      expect(seen.findings.filter(({ status }) => status === "failed")).toEqual([]);
      const warnings = seen.findings.filter(({ status }) => status === "warning").map(({ name }) => name);
      expect(warnings).toEqual(expect.arrayContaining(["uids", "limits", "workspace images"]));
      expect(seen.findings.find(({ name }) => name === "limits")?.detail).toContain("single-tenant tier");
      expect(seen.isolation).toMatchObject({
        seccomp: "filter",
        distinct_uid: false,
        limits: { mode: "rlimit", workspace: "polled" },
      });
      expect(seen.status).toMatchObject({ CapEff: "0000000000000000", NoNewPrivs: "1", Seccomp: "2" });
      expect(seen.forks).toBeGreaterThan(10);
      // The limit counts every thread of the user, and the owner has some that come and go.
      expect(seen.forks).toBeLessThanOrEqual(40);
      expect(seen.allocated).toBe(false);
      expect(seen.usage).toEqual({});
      expect(seen.volume).toEqual([4, "kept"]);
      expect(seen.kept).toEqual(["owner.json", "tree"]);
      expect(seen.afterKill).toBeLessThanOrEqual(seen.before + 1);
      expect(seen.afterClose).toBe(seen.before);
      expect(seen.leftovers).toEqual(NOTHING_LEFT);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
);
