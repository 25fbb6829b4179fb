import { readdir } from "node:fs/promises";
import { Counter, Gauge, type Registry } from "prom-client";

/**
 * The process metrics under the names that dashboards know. Read at scrape; `collectDefaultMetrics` of prom-client
 * would install observers that nothing can take away again.
 */
export function registerProcessMetrics(registry: Registry, version: string): void {
  const registers = [registry];
  const atScrape = (name: string, help: string, read: () => number | Promise<number>): void => {
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        this.set(await read());
      },
    });
  };
  new Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time in seconds.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  const startSeconds = Date.now() / 1000 - process.uptime();
  atScrape("process_start_time_seconds", "Start of the process since 1970 in seconds.", () => startSeconds);
  atScrape("process_resident_memory_bytes", "Resident memory in bytes.", () => process.memoryUsage.rss());
  atScrape("process_open_fds", "Open file descriptors.", async () => (await readdir("/proc/self/fd")).length - 1);
  atScrape("nodejs_heap_size_used_bytes", "JavaScript heap in use in bytes.", () => process.memoryUsage().heapUsed);
  atScrape("nodejs_external_memory_bytes", "Memory of buffers outside the heap.", () => process.memoryUsage().external);
  new Gauge({
    name: "paddock_build_info",
    help: "Always 1; the labels say what runs.",
    labelNames: ["version", "node"],
    registers,
  }).set({ version, node: process.version }, 1);
}
