import { expect, test } from "vitest";
import { isExecConfig } from "../../src/fleet/workspaces/exec-config.ts";

test("exec config - names what tools run unasked", () => {
  const dotfiles = [
    ".git",
    "sub/.git/config",
    ".Rprofile",
    ".pdbrc",
    ".mvn/extensions.xml",
    ".bundle/config",
    ".env",
    "a/..b",
  ];
  const code = [
    "mod.pyc",
    "m.cpython-311-x86_64-linux-gnu.so",
    "libx.so.1.2",
    "a.jar",
    "x.pth",
    "x.node",
    "x.egg-info/PKG-INFO",
  ];
  const trees = ["__pycache__/m", "a/node_modules/b/c.js", "venv/x", "lib/site-packages/x.py", "vendor/autoload.php"];
  const names = [
    "a/Makefile",
    "GNUmakefile",
    "conftest.py",
    "HEAD",
    "vite.config.ts",
    "package.json",
    "setup.py",
    "bin/activate.fish",
  ];
  const spellings = ["GIT~1/config", "MAKEFILE", "Makefile. ", "ma\u212aefile", "\u200c.git/config", "Conftest.PY"];
  const yes = [...dotfiles, ...code, ...trees, ...names, ...spellings];
  expect(yes.filter((path) => !isExecConfig(path))).toEqual([]);
});

test("exec config - lets sources, data and pictures by", () => {
  const no = [
    "git/config",
    "readme.md",
    "src/makefile.py",
    "data.git.csv",
    "out/plot.png",
    "app.js",
    "a/b.json",
    "x.so.txt",
    "build/a.txt",
  ];
  expect(no.filter(isExecConfig)).toEqual([]);
});
