import type { ResponseRow } from "../../src/model/response.ts";
import { type Answer, isEnded, type Sight } from "./history.ts";

/** What the database and the workspaces hold once everything has ended. */
export interface Outcome {
  readonly agents: readonly AgentOutcome[];
  /** Of responses that were seen and are in no list: where they are, if anywhere. */
  readonly strays: ReadonlyMap<string, ResponseRow | undefined>;
}

export interface AgentOutcome {
  readonly name: string;
  readonly state: string;
  /** By creation. */
  readonly rows: readonly ResponseRow[];
  /** Lines `begin MARK PID` and `end MARK PID`, as the tasks wrote them. */
  readonly marks: readonly string[];
}

/** What clients may be told by a server that works: what is wrong with the request at that moment. */
const EXPECTED: ReadonlySet<number> = new Set([200, 404, 409]);
/** Here 400 says that the agent's state is another one. */
const CHANGES: ReadonlySet<string> = new Set(["wake", "wakeUp", "sleep", "delay"]);

/** Everything that the history and its outcome break; empty when all holds. */
export function findViolations(answers: readonly Answer[], outcome: Outcome): readonly string[] {
  return [
    ...checkAnswers(answers),
    ...checkEnds(answers, outcome),
    ...checkAccepted(answers, outcome),
    ...checkNames(answers),
    ...checkKeys(answers),
    ...outcome.agents.flatMap((agent) => [...checkMarks(agent), ...checkRest(agent)]),
  ];
}

const show = ({ client, kind, name, status, text }: Answer): string =>
  `client ${client}: ${kind} ${name}: ${status} ${text ?? ""}`;

function checkAnswers(answers: readonly Answer[]): string[] {
  const isExpected = ({ kind, status }: Answer): boolean =>
    EXPECTED.has(status) || (status === 400 && CHANGES.has(kind));
  return answers.filter((answer) => !isExpected(answer)).map((answer) => `unexpected: ${show(answer)}`);
}

/**
 * One end, for ever: no two answers tell different ones, and none that was asked for later tells of an earlier state.
 */
function* checkEnds(answers: readonly Answer[], outcome: Outcome): Generator<string> {
  const final = new Map(allRows(outcome).map((row) => [row.id, row] as const));
  const told = new Map<string, { readonly sight: Sight; readonly endMs: number }>();
  for (const { seen, endMs } of answers)
    for (const sight of seen) {
      const before = told.get(sight.id);
      if (!isEnded(sight.status)) continue;
      if (before !== undefined && before.sight.status !== sight.status)
        yield `${sight.id}: was told as ${before.sight.status} and as ${sight.status}`;
      if (before !== undefined && before.sight.finishedAt !== sight.finishedAt) yield `${sight.id}: ended twice`;
      if (before === undefined || endMs < before.endMs) told.set(sight.id, { sight, endMs });
      const row = final.get(sight.id);
      if (row !== undefined && row.status !== sight.status)
        yield `${sight.id}: was told as ${sight.status}, is ${row.status}`;
    }
  for (const { seen, startMs } of answers)
    for (const { id, status } of seen) {
      const end = told.get(id);
      if (!isEnded(status) && end !== undefined && end.endMs < startMs)
        yield `${id}: was told as ${status} after it had ended as ${end.sight.status}`;
    }
  for (const answer of answers) {
    const row = final.get(answer.responseId ?? "");
    if (row === undefined) continue;
    if (answer.kind === "cancelOne" && answer.cancelled === true && row.status !== "cancelled")
      yield `${row.id}: was cancelled, is ${row.status}`;
    if (answer.kind === "put" && answer.status === 200 && row.status !== answer.said)
      yield `${row.id}: was put as ${answer.said}, is ${row.status}`;
  }
}

/** What was accepted is there and has ended, unless its agent was deleted; then it is gone. */
function* checkAccepted(answers: readonly Answer[], outcome: Outcome): Generator<string> {
  const here = new Set(outcome.agents.flatMap(({ rows }) => rows.map(({ id }) => id)));
  for (const row of allRows(outcome)) if (!isEnded(row.status)) yield `${row.id}: is still ${row.status}`;
  for (const row of outcome.strays.values())
    if (row !== undefined) yield `${row.id}: its agent is gone, and it is still there`;
  const removals = answers.filter(({ kind, status }) => kind === "delete" && status === 200);
  for (const post of answers.filter(({ kind, status }) => kind === "post" && status === 200)) {
    const id = post.seen[0]?.id ?? "";
    const ofName = removals.filter(({ name }) => name === post.name);
    if (!here.has(id) && !ofName.some(({ endMs }) => endMs > post.startMs)) yield `${id}: was accepted and is lost`;
    if (here.has(id) && post.key === undefined && ofName.some(({ startMs }) => startMs > post.endMs))
      yield `${id}: outlived the deletion of its agent`;
  }
}

/** Between two makings of one name it was removed. */
function* checkNames(answers: readonly Answer[]): Generator<string> {
  const made = answers.filter(({ kind, status, key }) => kind === "create" && status === 200 && key === undefined);
  const removed = answers.filter(({ kind, status }) => kind === "delete" && status === 200);
  for (const [at, one] of made.entries())
    for (const other of made.slice(at + 1)) {
      if (one.name !== other.name) continue;
      const [first, last] = [Math.min(one.startMs, other.startMs), Math.max(one.endMs, other.endMs)];
      const between = removed.some(({ name, startMs, endMs }) => name === one.name && endMs > first && startMs < last);
      if (!between) yield `${one.name}: was made twice`;
    }
}

function* checkKeys(answers: readonly Answer[]): Generator<string> {
  const ids = new Map<string, string>();
  for (const { kind, key, status, seen } of answers) {
    const id = seen[0]?.id;
    if (kind !== "post" || key === undefined || status !== 200 || id === undefined) continue;
    if ((ids.get(key) ?? id) !== id) yield `${key}: made ${ids.get(key)} and ${id}`;
    ids.set(key, id);
  }
}

/** One task at a time, in the order of the queue, each once, and the dead write nothing. */
function* checkMarks({ name, rows, marks }: AgentOutcome): Generator<string> {
  const order = new Map(rows.map((row) => [readMark(row), row] as const));
  let open: string | undefined;
  let lastSeq = 0;
  const begun = new Set<string>();
  const ended = new Set<string>();
  for (const line of marks) {
    const [what, mark = ""] = line.split(" ");
    const row = order.get(mark);
    if (row === undefined) yield `${name}: ${mark} ran and was never accepted`;
    else if (what === "end") {
      if (open !== mark) yield `${name}: ${mark} (${row.status}) went on while ${open} ran`;
      ended.add(mark);
      open = undefined;
    } else {
      if (begun.has(mark)) yield `${name}: ${mark} ran twice`;
      if (row.seq < lastSeq) yield `${name}: ${mark} ran out of order`;
      begun.add(mark);
      open = mark;
      lastSeq = row.seq;
    }
  }
  for (const [mark, row] of order) {
    // A client's own word may end a response before its time.
    const isOurs = row.status === "completed" && row.outputContent !== null && mark !== "";
    if (isOurs && !ended.has(mark)) yield `${name}: ${mark} is completed and did not run to its end`;
  }
}

function* checkRest({ name, state, rows }: AgentOutcome): Generator<string> {
  if (state !== "idle" && state !== "slept") yield `${name}: has nothing to do and is ${state}`;
  for (const [at, row] of rows.entries())
    if (at > 0 && row.seq <= (rows[at - 1]?.seq ?? 0)) yield `${row.id}: is out of order`;
}

const allRows = ({ agents }: Outcome): ResponseRow[] => agents.flatMap(({ rows }) => rows);

/** What its task writes; empty for one that writes nothing. */
function readMark({ input }: ResponseRow): string {
  return /begin (\S+) /.exec(JSON.stringify(input))?.[1] ?? "";
}
