#!/usr/bin/env node
import { existsSync } from "node:fs";

if (Number(process.versions.node.split(".")[0]) < 24) {
  process.stderr.write(
    `paddock needs Node 24 or newer; this is ${process.version}. In a clone, use: npm run paddock -- ...\n`,
  );
  process.exit(69);
}
const built = new URL("../dist/cli/main.js", import.meta.url);
await import(existsSync(built) ? built.href : new URL("../src/cli/main.ts", import.meta.url).href);
