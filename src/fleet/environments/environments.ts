import type { ImageName } from "../../drivers/driver.ts";
import type { NodeType } from "../../model/node-type.ts";

/** The environment of a node type as sandboxes start from it: a folder to mount, or part of an image. */
export interface Template {
  readonly nodeType: NodeType;
  /** Names everything that decides the content. */
  readonly hash: string;
  /** sha256 over the tree, taken by a porter when it was frozen. */
  readonly contentHash: string;
  /** Host folder to mount at ENV_DIR; undefined where the image holds it. */
  readonly folder?: string;
  readonly hasPython: boolean;
  readonly hasJavascript: boolean;
  readonly pythonPreload: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly bytes: number;
}

/** What a sandbox starts from. */
export interface Environment {
  /** Undefined for the bare node and for plans that install nothing. */
  readonly template: Template | undefined;
  /** Immutable id (`sha256:...`); undefined where nodes start from template folders. */
  readonly image: string | undefined;
}

export interface EnsureOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (message: string) => void;
  /** Refuse with `template_missing` or `image_missing` instead of building. */
  readonly build?: boolean;
}

/** Where nodes come from: template folders (`TemplateStore`) or images (`ImageStore`), as the driver has it. */
export interface Environments {
  /** The environment of a node type, or of the bare node (`base`), built if need be. */
  open(name: ImageName, options: EnsureOptions): Promise<Environment>;
  /** A sandbox could not start from what `open` returned: the next `open` looks again. */
  forget(): void;
}
