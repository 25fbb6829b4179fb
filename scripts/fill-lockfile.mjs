#!/usr/bin/env node
/**
 * Completes package-lock.json so that `npm ci` accepts it on every platform, whatever registry wrote it.
 *
 * npm leaves an optional dependency out of the lock when the registry in use does not serve it (mirrors often lack packages of
 * foreign platforms), and `npm ci` then calls the lock out of step. Every such dependency gets an entry with its version and the
 * platform that its name states, so that npm installs it there and skips it elsewhere. `resolved` fields, which name that
 * registry, are removed.
 *
 *     node scripts/fill-lockfile.mjs            rewrite package-lock.json; run after every change of dependencies
 *     node scripts/fill-lockfile.mjs --check    exit 1 if that would change it
 */
import { readFileSync, writeFileSync } from "node:fs";

const PLATFORM_WORDS = {
  os: {
    ...sameWords("aix android darwin freebsd linux netbsd openbsd openharmony sunos win32"),
    windows: "win32",
  },
  cpu: {
    ...sameWords("arm arm64 ia32 loong64 mips64el ppc64 riscv64 s390x wasm32 x64"),
    armhf: "arm",
    armv7: "arm",
  },
  libc: { gnu: "glibc", gnueabihf: "glibc", musl: "musl", musleabihf: "musl" },
};

function sameWords(text) {
  return Object.fromEntries(text.split(" ").map((word) => [word, word]));
}

/** `{os, cpu, libc}` as far as the words of a package's name state them. */
function readPlatform(name) {
  const words = name.split(/[^a-z0-9]+/);
  const found = Object.entries(PLATFORM_WORDS).map(([field, known]) => [
    field,
    words.filter((word) => Object.hasOwn(known, word)).map((word) => known[word]),
  ]);
  return Object.fromEntries(found.filter(([, values]) => values.length > 0));
}

/** Where Node's lookup, which walks up from `path`, would find `name` in the lock. */
function hasEntry(packages, path, name) {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("node_modules/") - 1))) {
    if (Object.hasOwn(packages, `${folder === "" ? "" : `${folder}/`}node_modules/${name}`)) return true;
    if (folder === "") return false;
  }
}

function makeEntry(parent, name, range) {
  const version = /^[~^]?(\d+\.\d+\.\d+\S*)$/.exec(range)?.[1];
  const platform = readPlatform(name);
  if (version === undefined) throw new Error(`${name}: cannot tell a version from the range "${range}"`);
  if (!platform.os && !platform.cpu)
    throw new Error(`${name}: cannot tell the platform from the name; add its entry by hand`);
  return {
    version,
    ...(platform.cpu && { cpu: platform.cpu }),
    ...(parent.dev && { dev: true }),
    ...(platform.libc && { libc: platform.libc }),
    optional: true,
    ...(platform.os && { os: platform.os }),
  };
}

function completeLock(lock) {
  const packages = structuredClone(lock.packages);
  for (const entry of Object.values(packages)) delete entry.resolved;
  for (const [path, parent] of Object.entries(lock.packages)) {
    for (const [name, range] of Object.entries(parent.optionalDependencies ?? {})) {
      if (!hasEntry(packages, path, name)) packages[`node_modules/${name}`] = makeEntry(parent, name, range);
    }
  }
  const sorted = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en"));
  return { ...lock, packages: Object.fromEntries(sorted) };
}

const path = new URL("../package-lock.json", import.meta.url);
const before = readFileSync(path, "utf8");
const lock = JSON.parse(before);
const complete = completeLock(lock);
const after = `${JSON.stringify(complete, null, 2)}\n`;
if (after === before) {
  console.error("package-lock.json is complete");
} else if (process.argv.includes("--check")) {
  console.error("package-lock.json is not complete: run node scripts/fill-lockfile.mjs");
  process.exitCode = 1;
} else {
  writeFileSync(path, after);
  console.error(
    `package-lock.json: ${Object.keys(complete.packages).length - Object.keys(lock.packages).length} entries added`,
  );
}
