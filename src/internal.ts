/** What our own doors, bench and scripts use beyond the public surface. Not for users of the package. */

export type { RemoteOptions } from "./client/ractor/remote-run.ts";
export { runRemotely } from "./client/remote-executor.ts";
export type { ProbeFinding } from "./drivers/driver.ts";
export type { RunTaskOptions } from "./executor/executor.ts";
export { defaultLanguage } from "./executor/fenced-code.ts";
export { checkInput } from "./executor/input-check.ts";
export type { TaskEvent } from "./executor/task-event.ts";
export { runToolCall } from "./executor/tool-call.ts";
export type { ImageStore } from "./fleet/environments/images.ts";
export type { Lease } from "./fleet/fleet.ts";
export { type CopyBack, WorkspaceFolder } from "./fleet/workspaces/workspace-folder.ts";
export type { ProcessListing } from "./sandbox/channel/messages.ts";
export type { UsageSample } from "./sandbox/host.ts";
export { loadPlan } from "./setup/plans.ts";
export { generateSetupCode } from "./setup/setup-code.ts";
export { TaskStore } from "./store/task-store.ts";
export { findTool } from "./tools/registry.ts";
