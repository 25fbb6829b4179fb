import type { ImageName } from "../../src/drivers/driver.ts";
import { openTestApp } from "./home.ts";

const BUILD_MS = 280_000;

/** Immutable id of a node image at the tests' engine, built from this host's packages where it is missing or stale. */
export async function ensureImage(name: ImageName): Promise<string> {
  await using app = await openTestApp({ driver: "docker" });
  const { images } = app.fleet;
  if (images === undefined) throw new Error("the docker driver has no images");
  const signal = AbortSignal.timeout(BUILD_MS);
  const options = { signal, bootstrap: true, onProgress: () => undefined };
  await images.build("base", options);
  return (await images.build(name, { ...options, bootstrap: false })).id;
}
