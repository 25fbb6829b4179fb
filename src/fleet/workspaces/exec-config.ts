/**
 * Matches whole names, regular expressions between spaces. Some file systems take `Makefile.` and `Makefile ` for
 * `Makefile`.
 */
function named(names: string): RegExp {
  return new RegExp(String.raw`(^|\/)(${names.trim().replaceAll(/\s+/g, "|")})[. ]*(\/|$)`, "iu");
}

/** Byte code, native code and what starts programs: loaded in place of a source file that did not change. */
const COMPILED = named(String.raw`
  [^/]*\.(py[cod]|so(\.[0-9.]+)?|dll|dylib|node|class|jar|war|ear|elc|luac|beam|exe|bat|cmd|lnk|desktop)
  [^/]*\.(egg|whl|pth|egg-link|egg-info|dist-info|data-info)
`);

const PACKAGE_TREES = named(String.raw`
  node_modules bower_components jspm_packages vendor pods renv elm-stuff
  __pycache__ __pypackages__ site-packages dist-packages venv virtualenv conda-meta pyvenv\.cfg
`);

/** What shells, editors, build tools and test runners find by its name. `HEAD` makes any folder a repository. */
const OBEYED = named(String.raw`
  HEAD (GNU)?Makefile justfile mise\.toml (lefthook|taskfile)\.ya?ml (docker-)?compose[^/]*\.ya?ml
  (sitecustomize|usercustomize|conftest)(\.py)? (setup|noxfile|fabfile|dodo)\.py
  (setup|mypy)\.cfg (tox|pytest|mypy)\.ini (pyproject|cargo|bunfig)\.toml
  (package|composer|lerna|deno|turbo|nx)\.jsonc? [^/]+\.config\.[cm]?[jt]sx? (grunt|gulp)file(\.[^/]*)?
  (pip|rake|gem|guard|cap|vagrant|brew|jenkins|docker|container|tilt|earth|proc|snake)file
  cmakelists\.txt meson\.build sconstruct wscript (build|workspace|module)\.bazel
  (build|settings|init)\.gradle(\.kts)? pom\.xml build\.(xml|rs|sbt|zig) (flake|shell|default)\.nix
  [^/]+\.(code-workspace|sublime-project) bin\/activate[^/]*
`);

/**
 * What tools on the host execute or obey unasked, by its path; a guest must not change it behind the user's back.
 * Dotfiles are all of them. Case does not matter, nor do short names (`GIT~1`) and invisible characters: some file
 * systems ignore them.
 */
export const EXEC_CONFIG: readonly RegExp[] = [
  /(^|\/)\.[^/]/u,
  /~[0-9]+(\.|\/|$)/u,
  /[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u,
  COMPILED,
  PACKAGE_TREES,
  OBEYED,
];

/** True for a path whose change could run code on the host later (docs/workspace.md). */
export function isExecConfig(path: string): boolean {
  return EXEC_CONFIG.some((pattern) => pattern.test(path));
}
