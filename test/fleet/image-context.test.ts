import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { packContext } from "../../src/fleet/environments/image-context.ts";

let scratch = "";
let umask = 0;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "paddock-context-"));
  mkdirSync(join(scratch, "part/inner"), { recursive: true });
  writeFileSync(join(scratch, "part/inner/text"), "text");
  writeFileSync(join(scratch, "part/program"), "program");
  chmodSync(join(scratch, "part/program"), 0o700);
  umask = process.umask(0o077);
});

afterEach(() => {
  process.umask(umask);
  rmSync(scratch, { recursive: true, force: true });
});

test("image context - everybody may read what is packed, under a strict umask too", async () => {
  const parts = [
    { name: "Dockerfile", text: "FROM scratch\n" },
    { name: "part", folder: join(scratch, "part") },
  ];
  const listed = execFileSync("tar", ["-tv"], { input: await buffer(packContext(parts)), encoding: "utf8" });
  const modes = listed.trimEnd().split("\n");
  const found = Object.fromEntries(
    modes.map((line) => [line.split(" ").at(-1)?.replace(/\/$/, ""), line.split(" ")[0]]),
  );
  expect(found).toMatchObject({
    Dockerfile: "-rw-r--r--",
    "part/inner": "drwxr-xr-x",
    "part/inner/text": "-rw-r--r--",
    "part/program": "-rwxr-xr-x",
  });
});
