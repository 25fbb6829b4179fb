import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { SandboxId } from "../../../../src/model/ids.ts";
import { makeSandboxId } from "../../../../src/model/ids.ts";
import type { Bed } from "../bed.ts";
import type { Checks } from "../check.ts";
import { oweNothing } from "../owe-nothing.ts";

const MIB = 1024 * 1024;
const CYCLES = 8;
const TOGETHER = 6;

async function expectGone(bed: Bed, ids: readonly string[]): Promise<void> {
  expect(await bed.awaitGone(ids)).toEqual([]);
}

const countDescriptors = (): number => readdirSync("/proc/self/fd").length;

export function checkLifecycle(checks: Checks): void {
  checks.check("a supervisor dials and answers, and destroying leaves nothing", async (bed) => {
    const guest = await bed.guest();
    expect(await guest.python("result = 6 * 7")).toBe(42);
    await guest[Symbol.asyncDispose]();
    await expectGone(bed, [guest.id]);
  });

  checks.check("cycles leave no descriptor in the host process", async (bed) => {
    const cycle = async (): Promise<void> => {
      await using guest = await bed.guest();
      guest.host.usage();
    };
    await cycle();
    const before = countDescriptors();
    for (let count = 0; count < CYCLES; count++) await cycle();
    expect(countDescriptors()).toBeLessThanOrEqual(before + 1);
  });

  checks.check("sandboxes are made and destroyed at the same time, each with a uid of its own", async (bed) => {
    const guests = await Promise.all(Array.from({ length: TOGETHER }, () => bed.guest()));
    const uids = await Promise.all(guests.map((guest) => guest.python<number>("import os\nresult = os.getuid()")));
    expect(uids.every((uid) => uid > 0)).toBe(true);
    await Promise.all(guests.map((guest) => guest[Symbol.asyncDispose]()));
    await expectGone(
      bed,
      guests.map(({ id }) => id),
    );
  });

  for (const delayMs of [0, 2, 8, 30, 100, 250]) {
    checks.check(`a create that is aborted after ${delayMs} ms leaves nothing`, async (bed) => {
      const known = bed.ids.length;
      const outcome = await bed.guest({ signal: AbortSignal.timeout(delayMs) }).then(
        async (guest) => {
          await guest[Symbol.asyncDispose]();
          return "made before the abort";
        },
        (error: { code: string }) => error.code,
      );
      expect(["timeout", "cancelled", "made before the abort"]).toContain(outcome);
      await expectGone(bed, bed.ids.slice(known));
    });
  }

  checks.check("destroy and kill may be called again and at the same time", async (bed) => {
    await using guest = await bed.guest();
    await Promise.all([guest.host.destroy(), guest.host.kill("x"), guest.host.destroy()]);
    await guest.host.destroy();
    await guest.host.ended;
    expect(() => guest.host.usage()).not.toThrow();
  });

  checks.check("an id that is in use is refused, and its sandbox lives on", async (bed) => {
    await using guest = await bed.guest();
    const spec = bed.specs.get(guest.id);
    if (spec === undefined) throw new Error("the driver was not asked for this sandbox");
    await expect(bed.driver.create(spec, AbortSignal.timeout(20_000), oweNothing)).rejects.toMatchObject({
      code: "create_failed",
    });
    expect(await guest.python("result = 5")).toBe(5);
  });

  checks.check("a kept workspace is read by a later sandbox, and written only if that was asked", async (bed) => {
    const first = await bed.guest();
    await first.python("result = open('/workspace/note', 'w').write('kept')");
    await first.sandbox.close({ keepWorkspace: true });
    await first[Symbol.asyncDispose]();
    const sandboxId = first.id as SandboxId;
    const look =
      "try:\n    open('/workspace/more', 'w').close(); wrote = True\nexcept OSError: wrote = False\nresult = [open('/workspace/note').read(), wrote]";
    {
      await using reader = await bed.guest({ spec: { workspace: { kind: "ended", sandboxId } } });
      expect(await reader.python(look)).toEqual(["kept", false]);
    }
    {
      await using writer = await bed.guest({ spec: { workspace: { kind: "ended", sandboxId, writable: true } } });
      expect(await writer.python(look)).toEqual(["kept", true]);
    }
    rmSync(join(bed.home.workspaces, sandboxId), { recursive: true, force: true });
  });

  checks.check("a workspace that was not kept cannot be opened", async (bed) => {
    const workspace = { kind: "ended", sandboxId: makeSandboxId() } as const;
    await expect(bed.guest({ spec: { workspace } })).rejects.toMatchObject({ code: "not_found" });
  });

  checks.check("a workspace in memory is a tmpfs of its size", async (bed) => {
    const limits = { workspaceBytes: 16 * MIB };
    await using guest = await bed.guest({ spec: { workspace: { kind: "memory" } }, limits });
    expect(guest.host.isolation.limits.workspace).toBe("memory");
    expect(
      await guest.python(
        "import os\ns = os.statvfs('/workspace')\nopen('/workspace/x', 'w').write('y')\nresult = s.f_blocks * s.f_frsize",
      ),
    ).toBe(16 * MIB);
  });

  checks.check("a sandbox whose supervisor is killed from outside ends, and says so", async (bed) => {
    await using guest = await bed.guest();
    await guest.host.kill("the test asks");
    expect(await guest.sandbox.ended).toEqual({ kind: "killed", detail: "the test asks" });
    await expect(guest.run(["/usr/bin/true"])).rejects.toMatchObject({ code: "sandbox_lost" });
  });
}
