/** Files that tools on the host execute or obey unasked; a guest must not change them behind the user's back. */
const PATTERNS: readonly RegExp[] = [
  /(^|\/)\.git(\/|$)/,
  /(^|\/)\.(bashrc|bash_profile|profile|zshrc|envrc|npmrc|yarnrc|pypirc|netrc|gitconfig|gitmodules|gitattributes)$/,
  /(^|\/)\.(vscode|idea|husky|github|devcontainer|direnv)(\/|$)/,
  /(^|\/)(Makefile|makefile|GNUmakefile|justfile|lefthook\.ya?ml|\.pre-commit-config\.yaml|\.editorconfig)$/,
  /(^|\/)(sitecustomize|usercustomize|conftest)\.py$/,
  /\.pth$/,
];

/** True for a path whose change could run code on the host later (docs/workspace.md). */
export function isExecConfig(path: string): boolean {
  return PATTERNS.some((pattern) => pattern.test(path));
}
