import type { ArtifactsConfig } from "../../config/artifacts.ts";
import { PaddockError } from "../../errors/error.ts";
import type { ArtifactStore } from "../artifact-store.ts";
import { FilesystemArtifacts } from "./filesystem.ts";
import { S3Artifacts } from "./s3.ts";

/** The configured store; it touches neither disk nor network before it is used. */
export function openArtifactStore(config: ArtifactsConfig, folder: string): ArtifactStore {
  if (config.store === "filesystem") return new FilesystemArtifacts(folder);
  if (config.s3 === undefined) throw new PaddockError("internal", "artifacts.store is s3 without artifacts.s3");
  return new S3Artifacts(config.s3);
}
