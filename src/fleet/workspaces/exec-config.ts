/**
 * Files that tools on the host execute or obey unasked; a guest must not change them behind the user's back. Case does not
 * matter: some of the file systems a folder may lie on ignore it. `HEAD` makes any folder a repository with a config of its own.
 */
export const EXEC_CONFIG: readonly RegExp[] = [
  /(^|\/)(\.git|git~[0-9])[. ]*(\/|$)/i,
  /(^|\/)\.hg(\/|$)/i,
  /(^|\/)HEAD$/i,
  /(^|\/)\.(bashrc|bash_profile|bash_login|bash_logout|bash_aliases|profile|inputrc)$/i,
  /(^|\/)\.(zshrc|zshenv|zprofile|zlogin|zlogout|kshrc|cshrc|tcshrc|login)$/i,
  /(^|\/)\.(envrc|npmrc|yarnrc(\.yml)?|pnpmfile\.[cm]?js|pypirc|netrc|gdbinit|lldbinit|vimrc|exrc|nvimrc|nvim\.lua|dir-locals\.el)$/i,
  /(^|\/)\.(gitconfig|gitmodules|gitattributes|gitlab-ci\.yml|mcp\.json|tool-versions|mise\.toml)$/i,
  /(^|\/)\.(vscode|idea|zed|cursor|claude|husky|github|circleci|devcontainer|direnv|yarn|cargo|mise)(\/|$)/i,
  /(^|\/)(Makefile|GNUmakefile|justfile|mise\.toml|lefthook\.ya?ml|\.pre-commit-config\.yaml|\.editorconfig)$/i,
  /(^|\/)(sitecustomize|usercustomize|conftest)(\.py|\.[^/]*\.so)?(\/|$)/i,
  /\.pth$/i,
];

/** True for a path whose change could run code on the host later (docs/workspace.md). */
export function isExecConfig(path: string): boolean {
  return EXEC_CONFIG.some((pattern) => pattern.test(path));
}
