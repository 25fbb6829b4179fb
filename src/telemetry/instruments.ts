import { Counter, Gauge, Histogram, type Registry } from "prom-client";

const HTTP_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const WORK_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];

export type Instruments = ReturnType<typeof makeInstruments>;

/** Every metric that events and scrapes set, in a registry of their own (docs/telemetry.md lists them). */
export function makeInstruments(registry: Registry) {
  const registers = [registry];
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> =>
    new Counter({ name: `paddock_${name}`, help, labelNames, registers });
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[]): Gauge<Label> =>
    new Gauge({ name: `paddock_${name}`, help, labelNames, registers });
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    buckets = WORK_SECONDS,
  ): Histogram<Label> => new Histogram({ name: `paddock_${name}`, help, labelNames, buckets, registers });

  return {
    httpRequests: counter("http_requests_total", "Requests answered.", ["method", "route", "status"]),
    httpSeconds: histogram(
      "http_request_duration_seconds",
      "From the head of a request to the end of its answer.",
      ["route", "status"],
      HTTP_SECONDS,
    ),
    tasks: counter("tasks_total", "Tasks that ended.", ["node_type", "status"]),
    taskSeconds: histogram("task_duration_seconds", "From the POST of a task to its end.", ["node_type"]),
    queueSeconds: histogram("task_queue_seconds", "From the POST of a task to its claim.", ["node_type"]),
    calls: counter("calls_total", "Tool calls that ended.", ["operation", "verdict"]),
    networkSeconds: histogram("call_network_seconds", "Time of a call with network in use.", ["operation"]),
    computeSeconds: histogram("call_compute_seconds", "Time of a call's run without network.", ["operation"]),
    transitBytes: counter("transit_bytes_total", "Payload to (in) and from (out) sandboxes.", ["direction"]),
    retries: counter("call_retries_total", "Attempts of calls after the first.", ["operation"]),
    agentChanges: counter("agent_changes_total", "Changes of state of agents.", ["from", "to"]),
    problems: counter("problems_total", "Failures outside any task or request.", ["where", "code"]),
    lost: counter("telemetry_lost_total", "Log lines and spans that found no room or no reader.", ["kind"]),
    agents: gauge("agents", "Agents by state.", ["state"]),
    responses: gauge("responses", "Tasks that have not ended, by status.", ["status"]),
    sandboxes: gauge("sandboxes", "Sandboxes alive.", []),
    stateUp: gauge("state_up", "1 when the state behind the gauges could be read.", []),
    loopLag: gauge("event_loop_lag_seconds", "Lag of the event loop over the last second.", ["quantile"]),
    loopStalls: counter("event_loop_stalls_total", "Seconds in which the event loop stood still for over 200 ms.", []),
  };
}
