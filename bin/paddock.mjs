#!/usr/bin/env node
import { existsSync } from "node:fs";

if (Number(process.versions.node.split(".")[0]) < 24) {
  process.stderr.write(
    `paddock needs Node 24 or newer; this is ${process.version}. In a clone: npm run setup, then npm run paddock -- ...\n`,
  );
  process.exit(69);
}
// A clone has the sources, a package only what was built of them.
const source = new URL("../src/cli/main.ts", import.meta.url);
await import(existsSync(source) ? source.href : new URL("../dist/cli/main.js", import.meta.url).href);
