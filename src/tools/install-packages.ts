import { posix } from "node:path";
import { z } from "zod";
import { tryJson } from "../lib/json.ts";
import type { InstalledDependency } from "../model/record.ts";
import { cwdField } from "./fields.ts";
import { findInstallerFailure } from "./installer-failure.ts";
import { processOutcome, runOptions } from "./outcome.ts";
import { isNpmSpec, isPipSpec, PACKAGE_RULE, packageSpec } from "./package-spec.ts";
import { programArgv } from "./programs.ts";
import { defineTool, type ToolContext } from "./tool.ts";

const input = z
  .strictObject({
    manager: z
      .enum(["pip", "npm"])
      .describe("`pip` installs into the workspace's own `.venv`, `npm` into `node_modules`."),
    packages: z
      .array(packageSpec)
      .min(1)
      .max(200)
      .describe("Names with versions if wanted: `pandas==3.1.1`, `express@5`."),
    cwd: cwdField.optional(),
  })
  .superRefine(({ manager, packages }, context) => {
    const fits = manager === "pip" ? isPipSpec : isNpmSpec;
    for (const [index, spec] of packages.entries()) {
      if (!fits(spec))
        context.addIssue({ code: "custom", path: ["packages", index], message: PACKAGE_RULE, input: spec });
    }
  });

const Result = z.strictObject({
  dependencies: z.array(z.strictObject({ name: z.string().max(300), version: z.string().max(300) })).max(10_000),
});
const MAX_RESULT_BYTES = 4 * 1024 * 1024;

export const installPackages = defineTool({
  name: "install_packages",
  title: "Install packages",
  description:
    "Installs packages with pip or npm and reports what the installer itself says it installed. Needs the `pypi` or `npm` network policy. Runs again after a network failure.",
  category: "package",
  input,
  idempotency: () => "idempotent",
  command: ({ manager, packages }) => [manager, "install", ...packages],
  run: async ({ manager, packages, cwd }, context) => {
    const workspace = context.target.settings.workspacePath;
    const result = posix.join(workspace, ".paddock", `${context.callId}.json`);
    const request = {
      manager,
      packages,
      workspace,
      cwd: posix.resolve(workspace, cwd ?? "."),
      scratch: posix.join(workspace, ".paddock", `${context.callId}.install`),
      result,
    };
    const argv = programArgv("install_packages.py");
    const ran = processOutcome(
      await context.target.runProcess({ ...runOptions(context), argv }, JSON.stringify(request)),
    );
    context.mark("run");
    if (ran.ended !== "exit") return ran;
    if (ran.exitCode !== 0) return { ...ran, ...findInstallerFailure(`${ran.stdout.text}\n${ran.stderr.text}`) };
    const dependencies = await readResult(context, result, manager);
    context.mark("transfer_out");
    return { ...ran, dependencies, value: { dependencies } };
  },
});

async function readResult(
  context: ToolContext,
  path: string,
  manager: InstalledDependency["manager"],
): Promise<readonly InstalledDependency[]> {
  const bytes = await context.target.files.read(path, { callId: context.callId, maxBytes: MAX_RESULT_BYTES });
  await context.target.files.remove(path, { callId: context.callId });
  // The workspace is the guest's: what does not fit counts as no report.
  const parsed = Result.safeParse(tryJson(bytes.toString("utf8")));
  return parsed.success ? parsed.data.dependencies.map(({ name, version }) => ({ manager, name, version })) : [];
}
