import type { Duplex } from "node:stream";
import type { FileCallOptions, SandboxFiles, WriteOptions, WriteResult } from "../sandbox/files.ts";
import type { CodeOptions, CodeResult, ProcessOptions, ProcessResult } from "../sandbox/process.ts";

type ReadTo = SandboxFiles["readTo"];

/** Files as tools use them. */
export interface ToolFiles extends Pick<SandboxFiles, "read"> {
  readTo(...parameters: Parameters<ReadTo>): Promise<Omit<Awaited<ReturnType<ReadTo>>, "sha256">>;
  write(path: string, content: Buffer | string, options: WriteOptions): Promise<WriteResult>;
  list(
    path: string,
    options: FileCallOptions & { readonly depth: number; readonly limit: number },
  ): ReturnType<SandboxFiles["list"]>;
  remove(path: string, options: FileCallOptions & { readonly recursive?: boolean }): Promise<number>;
}

/** What tools work on: a sandbox, or what stands for one. */
export interface ToolTarget {
  readonly settings: { readonly workspacePath: string };
  readonly files: ToolFiles;
  runProcess(options: ProcessOptions, input?: Buffer | string): Promise<ProcessResult>;
  startProcess(options: ProcessOptions): Promise<{ readonly pid: number; readonly done: Promise<ProcessResult> }>;
  runCode(options: CodeOptions): Promise<CodeResult>;
  /** A byte stream to a port inside. */
  connect(port: number): Promise<Duplex>;
}
