import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { UsageSample } from "../driver.ts";
import type { GroupLayout } from "./cgroup-layout.ts";

const BUFFER = Buffer.alloc(8192);

/** One counter file, kept open: a read is one system call. */
class CounterFile {
  readonly #fd: number | undefined;

  constructor(path: string, flags: "r" | "r+" = "r") {
    try {
      this.#fd = openSync(path, flags);
    } catch {
      this.#fd = undefined;
    }
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  /** The text, or undefined where the file is missing or its group is gone. */
  read(): string | undefined {
    if (this.#fd === undefined) return undefined;
    try {
      return BUFFER.toString("latin1", 0, readSync(this.#fd, BUFFER, 0, BUFFER.length, 0));
    } catch {
      return undefined;
    }
  }

  readNumber(): number | undefined {
    return toNumber(this.read());
  }

  /** The value of one `key value` line. */
  readField(key: string): number | undefined {
    const text = this.read();
    const line = text?.split("\n").find((candidate) => candidate.startsWith(`${key} `));
    return toNumber(line?.slice(key.length + 1));
  }

  write(text: string): boolean {
    if (this.#fd === undefined) return false;
    try {
      writeSync(this.#fd, text);
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

function toNumber(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

type Counter = keyof UsageSample;

/** Which file and field tells each counter. */
interface Source {
  readonly counter: Counter;
  readonly file: string;
  readonly field?: string;
  /** Units per unit of the counter: v1 counts nanoseconds. */
  readonly divisor?: number;
}

function listSources(layout: GroupLayout, name: string): readonly Source[] {
  const at = (parent: string | undefined, file: string): string => join(parent ?? layout.memory, name, file);
  if (layout.mode === "cgroup2") {
    return [
      { counter: "cpuTotalUs", file: at(layout.memory, "cpu.stat"), field: "usage_usec" },
      { counter: "cpuUserUs", file: at(layout.memory, "cpu.stat"), field: "user_usec" },
      { counter: "cpuSystemUs", file: at(layout.memory, "cpu.stat"), field: "system_usec" },
      { counter: "memoryPeakBytes", file: at(layout.memory, "memory.peak") },
      { counter: "memoryBytes", file: at(layout.memory, "memory.current") },
      { counter: "oomKills", file: at(layout.memory, "memory.events"), field: "oom_kill" },
      { counter: "pidsRefused", file: at(layout.pids, "pids.events"), field: "max" },
    ];
  }
  return [
    { counter: "cpuTotalUs", file: at(layout.cpuAccounting, "cpuacct.usage"), divisor: 1000 },
    { counter: "cpuUserUs", file: at(layout.cpuAccounting, "cpuacct.usage_user"), divisor: 1000 },
    { counter: "cpuSystemUs", file: at(layout.cpuAccounting, "cpuacct.usage_sys"), divisor: 1000 },
    { counter: "memoryPeakBytes", file: at(layout.memory, "memory.max_usage_in_bytes") },
    { counter: "memoryBytes", file: at(layout.memory, "memory.usage_in_bytes") },
    { counter: "oomKills", file: at(layout.memory, "memory.oom_control"), field: "oom_kill" },
    { counter: "pidsRefused", file: at(layout.pids, "pids.events"), field: "max" },
  ];
}

/** The counters of one sandbox's groups. After `close`, and once the groups are gone, the last sample stands. */
export class UsageReader {
  readonly #sources: readonly Source[];
  readonly #files = new Map<string, CounterFile>();
  readonly #peakReset: string;
  #last: UsageSample = {};
  #closed = false;

  /** Opens nothing yet: the groups need not exist before the first read. */
  constructor(layout: GroupLayout | undefined, name: string) {
    this.#sources = layout === undefined ? [] : listSources(layout, name);
    this.#peakReset = layout?.mode === "cgroup1" ? "0" : "reset";
  }

  read(): UsageSample {
    if (this.#closed) return this.#last;
    this.#open();
    const sample: { -readonly [Key in Counter]?: number } = { ...this.#last };
    for (const { counter, file, field, divisor } of this.#sources) {
      const opened = this.#files.get(file);
      const value = field === undefined ? opened?.readNumber() : opened?.readField(field);
      if (value !== undefined) sample[counter] = Math.round(value / (divisor ?? 1));
    }
    this.#last = sample;
    return sample;
  }

  resetPeak(): boolean {
    const peak = this.#sources.find(({ counter }) => counter === "memoryPeakBytes");
    if (this.#closed || peak === undefined) return false;
    this.#open();
    return this.#files.get(peak.file)?.write(this.#peakReset) ?? false;
  }

  close(): void {
    if (this.#closed) return;
    this.read();
    this.#closed = true;
    for (const file of this.#files.values()) file.close();
  }

  #open(): void {
    for (const { file, counter } of this.#sources) {
      if (!this.#files.has(file)) this.#files.set(file, openCounter(file, counter));
    }
  }
}

/** The peak is opened for writing too: under v2 a reset holds for the descriptor that wrote it. */
function openCounter(file: string, counter: Counter): CounterFile {
  if (counter !== "memoryPeakBytes") return new CounterFile(file);
  const writable = new CounterFile(file, "r+");
  return writable.isOpen ? writable : new CounterFile(file);
}
