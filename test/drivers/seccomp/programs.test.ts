import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compileSeccomp } from "../../../src/drivers/seccomp/bpf.ts";
import { lacks } from "../../support/needs.ts";
import { canRunSandbox, hasProgram, runInSandbox } from "./sandbox.ts";

const filter = compileSeccomp(process.arch === "arm64" ? "arm64" : "x64");
const read = (name: string) => readFileSync(new URL(`programs/${name}`, import.meta.url), "utf8");
/** Writes the program to a file inside and runs it from there. */
const runFile = (name: string, ...interpreter: string[]) =>
  runInSandbox(
    ["/bin/bash", "-c", `printf %s "$1" > ${name} && ${interpreter.join(" ")} ${name}`, "bash", read(name)],
    filter,
  );
const inShell = (script: string) => runInSandbox(["/bin/bash", "-euo", "pipefail", "-c", script], filter);
const fine = (stdout: string) => ({ status: 0, stdout, stderr: "" });

describe.skipIf(lacks(canRunSandbox, "a working bubblewrap"))("under the filter", () => {
  test("Python's threads, processes, event loop, files, database, sockets and limits work", () => {
    expect(runFile("everyday.py", "python3")).toEqual(fine("fine\n"));
  });

  test("Node's workers, children, files, cryptography, database and fetch work", () => {
    expect(runFile("everyday.mjs", "node", "--disable-warning=ExperimentalWarning")).toEqual(fine("fine\n"));
  });

  test("bash pipelines, job control and process substitution work", () => {
    const script = `set -m; sleep 100 & kill %1; wait %1 || true
      seq 1 1000 | sort -rn | awk '{ s += $1 } END { print s }'
      diff <(echo a) <(echo a); nice -n 3 true; timeout 5 true; touch x; cp -a x z; mv x y; tar cf t.tar y; tar xf t.tar
      find . -name y | xargs ls`;
    expect(inShell(script)).toMatchObject({ status: 0, stdout: "500500\n./y\n" });
  });

  test("npm starts and installs a package from a folder", () => {
    const script = `npm() { node /opt/npm/bin/npm-cli.js "$@"; }
      npm --version; mkdir a; echo '{"name":"a","version":"1.0.0"}' > a/package.json
      mkdir b; cd b; echo '{"name":"b","version":"1.0.0"}' > package.json
      npm install --offline --no-audit --no-fund ../a > /dev/null; ls node_modules`;
    const { status, stdout } = inShell(script);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\na\n$/);
  });

  test.skipIf(lacks(hasProgram(["/usr/bin/python3", "-m", "pip", "--version"]), "/usr/bin/python3"))(
    "pip starts",
    () => {
      expect(inShell("python3 -m pip --version")).toMatchObject({ status: 0, stderr: "" });
    },
  );

  test.skipIf(lacks(hasProgram(["/usr/bin/git", "--version"]), "/usr/bin/git"))(
    "git keeps history, clones and collects garbage",
    () => {
      const script = `export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
      git init -q r; cd r; echo 1 > f; git add f; git commit -qm one; git gc -q; git clone -q . ../c; git -C ../c log --format=%s`;
      expect(inShell(script)).toEqual({ ...fine("one\n"), stderr: expect.any(String) });
    },
  );

  test.skipIf(lacks(hasProgram(["/usr/bin/gcc", "--version"]), "/usr/bin/gcc"))(
    "gcc builds a threaded program that runs",
    () => {
      const source = `#include <pthread.h>
      #include <stdio.h>
      static void *run(void *p) { return p; }
      int main(void) { pthread_t t; if (pthread_create(&t, 0, run, 0)) return 1; pthread_join(t, 0); return puts("built") < 0; }`;
      const script = `printf %s "$1" > a.c && gcc -O1 -pthread -o a a.c && ./a`;
      expect(runInSandbox(["/bin/bash", "-c", script, "bash", source], filter)).toEqual(fine("built\n"));
    },
  );

  test.skipIf(lacks(hasProgram(["/usr/bin/openssl", "version"]), "/usr/bin/openssl"))(
    "openssl makes a key and hashes",
    () => {
      expect(inShell("openssl genpkey -algorithm ed25519 -out k; openssl dgst -sha256 k | grep -c SHA2")).toMatchObject(
        {
          stdout: "1\n",
        },
      );
    },
  );
});
