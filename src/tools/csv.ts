import { once } from "node:events";
import { type Options, type Parser, parse } from "csv-parse";
import { PaddockError } from "../errors/error.ts";

export interface CsvTable {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** There were more rows than `limit`, or more text than is kept. */
  readonly truncated: boolean;
}

export interface CsvOptions {
  readonly delimiter?: string;
  readonly limit: number;
  /** Only these, in this order. */
  readonly columns?: readonly string[];
  /** Numbers, true, false and empty cells as JSON values instead of text. */
  readonly types?: boolean;
}

const MAX_RECORD_BYTES = 1024 * 1024;
const MAX_KEPT_CHARACTERS = 8 * 1024 * 1024;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** Collects the first rows of a CSV that is pushed in parts; `full` says that no more is needed. */
export class CsvCollector {
  readonly #options: CsvOptions;
  readonly #parser: Parser;
  readonly #rows: unknown[][] = [];
  #header: string[] | undefined;
  #picked: number[] = [];
  #characters = 0;
  #truncated = false;
  #problem: Error | undefined;

  constructor(options: CsvOptions) {
    this.#options = options;
    const settings: Options = {
      bom: true,
      delimiter: options.delimiter ?? ",",
      max_record_size: MAX_RECORD_BYTES,
      skip_empty_lines: true,
    };
    this.#parser = parse(settings);
    this.#parser.on("data", (record: string[]) => this.#record(record));
    this.#parser.on("error", (error) => {
      this.#problem ??= new PaddockError("file_error", error.message, { cause: error });
    });
  }

  get full(): boolean {
    return this.#truncated || this.#problem !== undefined;
  }

  /** Resolves when the parser takes more. */
  async push(chunk: Buffer): Promise<void> {
    if (this.full || this.#parser.write(chunk)) return;
    await once(this.#parser, "drain").catch(() => undefined);
  }

  /** Throws `file_error` when the file is malformed or lacks a wanted column. */
  async finish(): Promise<CsvTable> {
    if (this.full) this.#parser.destroy();
    else {
      this.#parser.end();
      await once(this.#parser, "end").catch(() => undefined);
    }
    if (this.#problem !== undefined) throw this.#problem;
    if (this.#header === undefined) throw new PaddockError("file_error", "the CSV file is empty");
    const header = this.#header;
    return { columns: this.#picked.map((index) => header[index] ?? ""), rows: this.#rows, truncated: this.#truncated };
  }

  #record(record: string[]): void {
    if (this.full) return;
    try {
      if (this.#header === undefined) this.#readHeader(record);
      else this.#keep(record);
    } catch (error) {
      this.#problem = error instanceof Error ? error : new Error(String(error));
    }
  }

  #readHeader(record: string[]): void {
    this.#header = record;
    const { columns } = this.#options;
    this.#picked = (columns ?? record).map((name, index) => (columns === undefined ? index : findColumn(record, name)));
  }

  #keep(record: string[]): void {
    const size = record.reduce((sum, cell) => sum + cell.length, 0);
    if (this.#rows.length >= this.#options.limit || this.#characters + size > MAX_KEPT_CHARACTERS) {
      this.#truncated = true;
      return;
    }
    this.#characters += size;
    const cells = this.#picked.map((index) => record[index] ?? "");
    this.#rows.push(this.#options.types ? cells.map((cell) => typed(cell)) : cells);
  }
}

function findColumn(header: readonly string[], name: string): number {
  const index = header.indexOf(name);
  if (index < 0)
    throw new PaddockError(
      "file_error",
      `no column ${JSON.stringify(name)}; the file has ${header.map((one) => JSON.stringify(one)).join(", ")}`,
    );
  return index;
}

/** A cell as JSON value. Integers that a double cannot hold stay text. */
function typed(cell: string): unknown {
  if (cell === "") return null;
  if (cell === "true" || cell === "false") return cell === "true";
  if (!NUMBER.test(cell)) return cell;
  const number = Number(cell);
  return Number.isFinite(number) && (Number.isSafeInteger(number) || !Number.isInteger(number)) ? number : cell;
}
