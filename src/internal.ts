/** What our own doors, bench and scripts use beyond the public surface. Not for users of the package. */
export { runRemotely } from "./client/remote-executor.ts";
export type { RemoteOptions } from "./client/remote-run.ts";
export type { ProbeFinding } from "./drivers/driver.ts";
export type { RunTaskOptions, TaskEvent } from "./executor/executor.ts";
export { defaultLanguage } from "./executor/fenced-code.ts";
export { checkInput } from "./executor/input-check.ts";
export { runToolCall } from "./executor/tool-call.ts";
export type { Lease } from "./fleet/fleet.ts";
export type { ImageStore } from "./fleet/images.ts";
export { type CopyBack, WorkspaceFolder } from "./fleet/workspace-folder.ts";
export type { UsageSample } from "./sandbox/host.ts";
export type { ProcessListing } from "./sandbox/messages.ts";
export { loadPlan } from "./setup/plans.ts";
export { generateSetupCode } from "./setup/setup-code.ts";
export { TaskStore } from "./store/task-store.ts";
export { findTool } from "./tools/registry.ts";
