import { readFileSync } from "node:fs";
import { Command } from "commander";
import { compareBenchmarks, readBenchmark } from "../../benchmark/comparison.ts";
import { DATA_NAME, type DataServer, serveData } from "../../benchmark/data-server.ts";
import { startOwnServer } from "../../benchmark/own-server.ts";
import { runBenchmark } from "../../benchmark/run.ts";
import { GDP_URL, makeChains } from "../../benchmark/workload.ts";
import { loadConfig } from "../../config/config.ts";
import { PaddockError } from "../../errors/error.ts";
import { BENCHMARK_CHAINS, type Benchmark } from "../../model/benchmark.ts";
import { entryPoint } from "../process/entry.ts";
import { catchInterrupts } from "../process/signals.ts";
import { checkOutputs, type Outputs, writeOutputs } from "../render/benchmark-output.ts";
import { renderBenchmarkText } from "../render/benchmark-view.ts";
import { printable } from "../render/escape.ts";
import { ProgressLine } from "../render/terminal.ts";
import { addDriverOptions } from "../request/driver-options.ts";

const MAX_RUNS = 1000;
const MAX_CONCURRENCY = 100;
const EXIT_FAILED = 1;

interface Options extends Outputs {
  readonly url?: string;
  readonly token?: string;
  readonly runs: string;
  readonly concurrency: string;
  readonly only?: readonly string[];
  readonly dataUrl?: string;
  readonly compare?: string;
  readonly json?: boolean;
  readonly keepAgents?: boolean;
  readonly driver?: string;
  readonly runtime?: string;
}

export function benchCommand(): Command {
  const agents = new Command("agents")
    .description("run the seven recipes, a file task and a web task on agents of a server and report the four metrics")
    .option("--url <url>", "a Ractor server (default: start one on this machine for the time of the benchmark)")
    .option("--token <token>", "its bearer token (better: RACTOR_TOKEN, which no process list shows)")
    .option("--runs <n>", "how often each chain runs", "3")
    .option("--concurrency <n>", "chains at a time", "2")
    .option("--only <chain...>", `some of ${BENCHMARK_CHAINS.join(", ")} (default: all)`)
    .option(
      "--data-url <url>",
      "CSV to download (default: the GDP data set; a table of our own with a server of our own)",
    )
    .option("--csv <file>", "write a row per recipe and run")
    .option("--json-out <file>", "write the result, for --compare")
    .option("--html <file>", "write a report")
    .option("--compare <file>", "compare with an earlier result")
    .option("--json", "result as JSON on standard output")
    .option("--keep-agents", "leave the agents with their workspaces on the server")
    .action(benchAgents);
  return new Command("bench").description("measure a fleet through its API").addCommand(addDriverOptions(agents));
}

async function benchAgents(options: Options): Promise<void> {
  const runs = parseCount(options.runs, "--runs", MAX_RUNS);
  const concurrency = parseCount(options.concurrency, "--concurrency", MAX_CONCURRENCY);
  checkServer(options);
  // All that can be wrong with the words is found before anything is measured.
  makeChains(options.only ?? [], options.dataUrl ?? GDP_URL);
  checkOutputs(options);
  const before = options.compare === undefined ? undefined : readBenchmark(readText(options.compare), options.compare);
  const progress = new ProgressLine();
  using interrupts = catchInterrupts();
  const run = await measure(options, { runs, concurrency, signal: interrupts.signal, progress }).finally(() =>
    progress.clear(),
  );
  const comparison = before === undefined ? undefined : compareBenchmarks(before, run);
  writeOutputs(options, run, comparison);
  const shown = options.json
    ? JSON.stringify(comparison === undefined ? run : { ...run, comparison }, null, 1)
    : renderBenchmarkText(run, comparison);
  process.stdout.write(`${shown}\n`);
  if (run.samples.some(({ failure }) => failure !== null)) process.exitCode = EXIT_FAILED;
}

interface Measuring {
  readonly runs: number;
  readonly concurrency: number;
  readonly signal: AbortSignal;
  readonly progress: ProgressLine;
}

async function measure(options: Options, { progress, ...measuring }: Measuring): Promise<Benchmark> {
  await using opened = new AsyncDisposableStack();
  const onProgress = (text: string): void => progress.update(printable(text));
  const { server, dataUrl, data } = await openServer(options, opened, measuring.signal, onProgress);
  return await runBenchmark({
    ...measuring,
    url: server.url,
    token: server.token,
    own: options.url === undefined,
    chains: makeChains(options.only ?? [], dataUrl),
    data,
    keepAgents: options.keepAgents ?? false,
    onProgress,
  });
}

interface Place {
  readonly server: { readonly url: string; readonly token: string | undefined };
  readonly dataUrl: string;
  /** What the result calls the data. */
  readonly data: string;
}

/** The named server; else one of our own, whose sandboxes may reach a table that this process serves. */
async function openServer(
  options: Options,
  opened: AsyncDisposableStack,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<Place> {
  const { url, dataUrl } = options;
  if (url !== undefined) {
    const server = { url, token: options.token ?? process.env["RACTOR_TOKEN"] };
    return { server, dataUrl: dataUrl ?? GDP_URL, data: withoutQuery(dataUrl ?? GDP_URL) };
  }
  onProgress("starting a server");
  if (dataUrl !== undefined) {
    const server = opened.use(await startOwnServer(entryPoint(), process.env, signal));
    return { server, dataUrl, data: withoutQuery(dataUrl) };
  }
  const table = opened.use(await serveData());
  const server = opened.use(await startOwnServer(entryPoint(), trust(table), signal));
  return { server, dataUrl: table.url, data: "built in" };
}

/** Our environment, with the table's address among the names that the operator trusts. */
function trust({ port }: DataServer): NodeJS.ProcessEnv {
  const { trustedUpstreams } = loadConfig(process.env, process.getuid?.() ?? 0);
  const own = { name: DATA_NAME, port, address: "127.0.0.1" };
  return { ...process.env, PADDOCK_TRUSTED_UPSTREAMS: JSON.stringify([...trustedUpstreams, own]) };
}

/** A signed address stays out of results. */
function withoutQuery(text: string): string {
  const url = new URL(text);
  return `${url.origin}${url.pathname}`;
}

function checkServer({ url, token, driver, runtime }: Options): void {
  const refuse = (message: string): never => {
    throw new PaddockError("invalid_request", message, {
      hint: "`paddock bench agents --help` says what belongs to what.",
    });
  };
  if (url === undefined && token !== undefined) refuse("--token needs --url");
  if (url !== undefined && (driver ?? runtime) !== undefined)
    refuse("--driver and --runtime are the server's choice with --url");
}

function parseCount(text: string, option: string, most: number): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= most) return count;
  throw new PaddockError("invalid_request", `${option} is ${text}`, { hint: `Use a whole number from 1 to ${most}.` });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new PaddockError("invalid_request", `--compare: ${path} cannot be read`, { cause });
  }
}
