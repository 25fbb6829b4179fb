import { type Config, loadConfig } from "./config/config.ts";
import type { Driver } from "./drivers/driver.ts";
import { openDriver } from "./drivers/registry.ts";
import { Executor } from "./executor/executor.ts";
import { Fleet } from "./fleet/fleet.ts";
import { renderReport } from "./report/html.ts";
import type { ArtifactStore } from "./store/artifact-store.ts";
import { GrantedObjects } from "./store/artifacts/object-access.ts";
import { openArtifactStore } from "./store/artifacts/open.ts";
import { TaskStore } from "./store/task-store.ts";

export type { SweepEvent } from "./fleet/sweep.ts";

/** Every long-lived object of one process, in the order they are made; closing runs the other way round. */
export interface App extends AsyncDisposable {
  readonly config: Config;
  readonly driver: Driver;
  readonly fleet: Fleet;
  readonly store: TaskStore;
  readonly artifacts: ArtifactStore;
  readonly executor: Executor;
}

export interface AppOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Over what environment and file say; for embedding and tests. */
  readonly config?: Partial<Config>;
}

/** Builds everything and starts nothing: the first lease starts the driver. */
export async function createApp(options: AppOptions = {}): Promise<App> {
  const env = options.env ?? process.env;
  const config: Config = { ...loadConfig(env, process.getuid?.() ?? 0), ...options.config };
  const driver = await openDriver(config, env);
  const fleet = new Fleet(config, driver, env);
  const store = new TaskStore(config.home.tasks);
  const artifacts = openArtifactStore(config.artifacts, config.home.artifacts);
  const objects = new GrantedObjects(config.artifacts);
  const executor = new Executor(fleet, store, {
    artifacts,
    keep: config.artifacts.keep,
    objects,
    renderReport: (result) => renderReport([{ title: "Task", result }], new Date()),
  });
  const close = async (): Promise<void> => {
    try {
      await fleet[Symbol.asyncDispose]();
    } finally {
      await Promise.all([objects[Symbol.asyncDispose](), artifacts[Symbol.asyncDispose]()]);
    }
  };
  return { config, driver, fleet, store, artifacts, executor, [Symbol.asyncDispose]: close };
}

/** Closes the tasks of dead owners as `lost` and removes records past their time. Called at every start. */
export function closeLostTasks(app: App): void {
  app.store.closeLost();
  app.store.prune(app.config.retentionMs, app.config.retentionBytes);
}
