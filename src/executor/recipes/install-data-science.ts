import { z } from "zod";
import { isPipSpec, PACKAGE_RULE } from "../../tools/package-spec.ts";
import { workspacePath } from "./fields.ts";
import { embedPython } from "./parameter-literals.ts";
import { defineRecipe } from "./recipe.ts";
import { findRequest } from "./task-text.ts";

const PACKAGES = ["pandas", "numpy", "matplotlib"];

const parameters = z.strictObject({
  packages: z
    .array(z.string().refine(isPipSpec, PACKAGE_RULE))
    .min(1)
    .max(50)
    .default(PACKAGES)
    .describe("What pip installs."),
  output: workspacePath.default("requirements.txt").describe("Where the versions that were installed are pinned."),
});

export const installDataScience = defineRecipe<z.infer<typeof parameters>>({
  name: "install-data-science",
  title: "Install data-science packages",
  description:
    "Installs pandas, numpy and matplotlib with pip into the workspace's virtual environment, writes requirements.txt with the installed versions, and proves that each can be imported.",
  example: "Install pandas, numpy and matplotlib and write a requirements.txt with pinned versions",
  nodeType: "python",
  bare: true,
  parameters,
  network: () => ["pypi"],
  match: (text) => {
    const request = findRequest(
      text,
      "install|installs|installing|pip install",
      "pandas|numpy|matplotlib|data[ -]science packages|data[ -]science libraries",
    );
    return request && { at: request.at, parameters: {} };
  },
  plan: ({ packages, output }) => [
    {
      tool: "install_packages",
      input: { manager: "pip", packages },
      title: `Install ${packages.join(", ")}`,
      timeoutMs: 240_000,
    },
    {
      tool: "run_python",
      input: { code: embedPython({ packages, output }, PIN), file: "pin_versions.py" },
      title: `Write ${output}`,
    },
    {
      tool: "run_python",
      input: { code: embedPython({ output }, CHECK), file: "check_imports.py" },
      title: "Check that every package can be imported",
      timeoutMs: 120_000,
    },
  ],
});

const PIN = String.raw`import glob
import importlib.metadata
import re

environment = glob.glob(".venv/lib/python3*/site-packages")
if not environment:
    raise SystemExit("there is no .venv in the workspace")

def normalize(name):
    return re.sub(r"[-_.]+", "-", name).lower()

installed = {normalize(one.metadata["Name"]): one for one in importlib.metadata.distributions(path=environment)}
lines = []
for spec in PARAMETERS["packages"]:
    name = normalize(re.match(r"[A-Za-z0-9._-]+", spec).group())
    if name not in installed:
        raise SystemExit(f"{name} is not installed in .venv; it holds {', '.join(sorted(installed))}")
    lines.append(f"{installed[name].metadata['Name']}=={installed[name].version}")

with open(PARAMETERS["output"], "w", encoding="utf-8") as file:
    file.writelines(f"{line}\n" for line in lines)
print("\n".join(lines))
`;

const CHECK = `import importlib
import importlib.metadata
import os

def modules_of(distribution):
    """Import names: from the package's own list, else from the folders it brought."""
    listed = (distribution.read_text("top_level.txt") or "").split()
    folders = [path.parts[0] for path in distribution.files or [] if len(path.parts) == 2 and path.name == "__init__.py"]
    return [name for name in listed or folders if not name.startswith("_")]

with open(PARAMETERS["output"], encoding="utf-8") as file:
    pins = [line.strip().split("==") for line in file if line.strip()]
if not pins:
    raise SystemExit(f"{PARAMETERS['output']} is empty")
home = os.path.realpath(".venv") + os.sep
for name, version in pins:
    distribution = importlib.metadata.distribution(name)
    if distribution.version != version:
        raise SystemExit(f"{name} is {distribution.version} here, {PARAMETERS['output']} says {version}")
    for module in modules_of(distribution)[:1]:
        loaded = importlib.import_module(module)
        place = os.path.realpath(getattr(loaded, "__file__", None) or next(iter(loaded.__path__)))
        if not place.startswith(home):
            raise SystemExit(f"{module} comes from {place}, not from .venv")
    print(f"{name} {version} can be imported")
`;
