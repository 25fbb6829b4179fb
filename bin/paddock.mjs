#!/usr/bin/env node
import { existsSync, mkdirSync, statSync } from "node:fs";
import module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

if (Number(process.versions.node.split(".")[0]) < 24) {
  process.stderr.write(
    `paddock needs Node 24 or newer; this is ${process.version}. In a clone: npm run setup, then npm run paddock -- ...\n`,
  );
  process.exit(69);
}

// What Node compiled once it loads again in half the time. Code is loaded from this folder, so it must be the user's own:
// Node's default lies in the shared temporary folder.
try {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "paddock", "compiled");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(folder);
  if (uid === process.getuid() && (mode & 0o022) === 0)
    module.enableCompileCache(process.env.NODE_COMPILE_CACHE || folder);
} catch {
  // A home that cannot be written makes a start slower, nothing else.
}

// A clone has the sources, a package only what was built of them.
const source = new URL("../src/cli/main.ts", import.meta.url);
await import(existsSync(source) ? source.href : new URL("../dist/cli/main.js", import.meta.url).href);
