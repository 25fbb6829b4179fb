import { resolveHome } from "../../src/config/home.ts";
import { Engine } from "../../src/drivers/docker/engine/engine.ts";
import { DockerImages } from "../../src/drivers/docker/images.ts";
import type { ImageParts } from "../../src/fleet/environments/image-build.ts";
import { ImageStore } from "../../src/fleet/environments/images.ts";

/** The images of a data folder, for names whose build needs no sandbox: `base` and `file`. */
export function openStore(root: string): ImageStore {
  const engine = new DockerImages(() => Engine.open());
  const refuse = (): never => {
    throw new Error("this image needs no sandbox");
  };
  const builder: ImageParts["builder"] = { build: refuse, hashTree: refuse, readFile: refuse, readTree: refuse };
  return new ImageStore({ home: resolveHome({ PADDOCK_HOME: root }, process.getuid?.() ?? 0), engine, builder });
}

/** Started by itself it builds `file` anew and prints the engine's progress: a builder that a test can kill. */
if (process.argv[1] === import.meta.filename) {
  const store = openStore(process.argv[2] ?? "");
  const signal = AbortSignal.timeout(60_000);
  await store.build("file", { signal, noCache: true, onProgress: (line) => process.stdout.write(`${line}\n`) });
}
