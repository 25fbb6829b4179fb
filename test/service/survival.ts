import { resolveHome } from "../../src/config/home.ts";
import { awaitEmpty, listNames, livingRemains, readText } from "../conformance/driver/scan.ts";
import { ask, KEPT, type Ledger, noteEnd } from "./load.ts";

const REST_MS = 60_000;
const GONE_MS = 20_000;
const ROWS = 500;

interface Row {
  readonly id: string;
  readonly status: string;
  readonly attempts: number;
  readonly error: { readonly code: string } | null;
}

/** How the responses of one life of the server ended. */
export type Counts = Record<"completed" | "failed" | "cancelled" | "lost" | "rerun", number>;

/** After a restart: what was acknowledged is there, has ended once, and nothing of the earlier life is left. */
export class Survival {
  readonly #url: string;
  readonly #token: string;
  readonly #ledger: Ledger;
  readonly #root: string;
  readonly #before: readonly string[];

  /** `before`: the sandboxes at the moment of the kill. */
  constructor(root: string, before: readonly string[], url: string, token: string, ledger: Ledger) {
    this.#root = root;
    this.#before = before;
    this.#url = url;
    this.#token = token;
    this.#ledger = ledger;
  }

  async check(): Promise<{ readonly violations: readonly string[]; readonly counts: Counts }> {
    const rows = new Map<string, Row>();
    for (const name of KEPT) for (const row of await this.#awaitRest(name)) rows.set(row.id, row);
    const violations = [...this.#checkRows(rows), ...(await this.#checkFiles())];
    for (const name of KEPT) violations.push(...(await this.#checkMarks(name, rows)));
    violations.push(...(await this.#checkAgents()), ...(await this.#checkHost()));
    return { violations, counts: this.#count(rows) };
  }

  /** The newest responses of an agent, all ended: more than one round makes. */
  async #awaitRest(name: string): Promise<readonly Row[]> {
    for (const late = performance.now() + REST_MS; ; ) {
      const { json } = await this.#ask("GET", `/agents/${name}/responses?limit=${ROWS}&order=desc`);
      const rows: readonly Row[] = json;
      const open = rows.find(({ status }) => status === "pending" || status === "processing");
      if (open === undefined) return rows;
      if (performance.now() > late) throw new Error(`${open.id} of ${name} is still ${open.status}`);
      await this.#ask("GET", `/agents/${name}/responses/${open.id}?wait=20`);
    }
  }

  *#checkRows(rows: ReadonlyMap<string, Row>): Generator<string> {
    const { posts, cancelled } = this.#ledger;
    for (const [id, { idempotent }] of posts) {
      const row = rows.get(id);
      if (row === undefined) {
        yield `${id}: was acknowledged and is lost`;
        continue;
      }
      try {
        noteEnd(this.#ledger, id, row.status);
      } catch (error) {
        yield String(error);
      }
      const isLost = row.error?.code === "task_lost";
      if (idempotent && isLost) yield `${id}: may run again and was given up`;
      if (!idempotent && row.attempts > 1) yield `${id}: may run once and ran ${row.attempts} times`;
      if (row.status === "failed" && !isLost) yield `${id}: failed with ${row.error?.code}`;
      if (cancelled.has(id) && row.status !== "cancelled") yield `${id}: was cancelled and is ${row.status}`;
    }
  }

  async #checkFiles(): Promise<readonly string[]> {
    const violations: string[] = [];
    for (const name of KEPT) {
      const wanted = [...this.#ledger.files].filter(([path]) => path.startsWith(`/agents/${name}/`));
      const printed = await this.#run(name, "cat before; [ ! -d up ] || grep -r . up; rm -rf up");
      if (!printed.startsWith(`of ${name}\n`)) violations.push(`${name}: its workspace is another one: ${printed}`);
      for (const [path, content] of wanted)
        if (!printed.includes(`${path.split("/").at(-1)}:${content}`)) violations.push(`${path}: is lost`);
    }
    return violations;
  }

  /** One task at a time; what may run once began once. */
  async #checkMarks(name: string, rows: ReadonlyMap<string, Row>): Promise<readonly string[]> {
    const violations: string[] = [];
    const byMark = new Map([...this.#ledger.posts].map(([id, posted]) => [posted.mark, { id, ...posted }] as const));
    const begun = new Map<string, number>();
    let open: string | undefined;
    const ended = new Set<string>();
    for (const line of (await this.#run(name, "[ ! -e marks ] || cat marks; rm -f marks"))
      .split("\n")
      .filter(Boolean)) {
      const [what, mark = ""] = line.split(" ");
      if (what === "begin") begun.set(mark, (begun.get(mark) ?? 0) + 1);
      else if (open !== mark) violations.push(`${name}: ${mark} went on while ${open} ran`);
      if (what === "end") ended.add(mark);
      open = what === "begin" ? mark : undefined;
    }
    for (const [mark, { id, agent, idempotent }] of byMark) {
      if (agent !== name) continue;
      const times = begun.get(mark) ?? 0;
      if (!idempotent && times > 1) violations.push(`${id}: began ${times} times`);
      if (rows.get(id)?.status === "completed" && !ended.has(mark))
        violations.push(`${id}: is completed and did not end`);
    }
    return violations;
  }

  /** Those that were made and not deleted are there, the others not; what got no answer may be either. */
  async #checkAgents(): Promise<readonly string[]> {
    const { agents } = this.#ledger;
    const { json } = await this.#ask("GET", "/agents?limit=100");
    const there = new Set<string>(json.items.map((agent: { name: string }) => agent.name));
    const violations: string[] = [];
    for (const [name, state] of agents) {
      if (state === "there" && !there.has(name)) violations.push(`${name}: was made and is lost`);
      if (state === "gone" && there.has(name)) violations.push(`${name}: was deleted and is back`);
      // The next round starts with those that are kept.
      if (there.has(name)) await this.#ask("DELETE", `/agents/${name}`);
      agents.delete(name);
    }
    return violations;
  }

  /** Volumes are those of the kept agents, sandboxes those that they have now. */
  async #checkHost(): Promise<readonly string[]> {
    const living = new Set<string>();
    for (const name of KEPT) {
      const { json } = await this.#ask("GET", `/agents/${name}/details`);
      if (json.sandbox_id !== null) living.add(json.sandbox_id);
    }
    const volumes = new Set(
      listHost(this.#root).flatMap((item) => item.match(/\/workspaces\/(vol_\w{26})$/)?.[1] ?? []),
    );
    const known = [...living, ...volumes];
    const dead = this.#before.filter((id) => !living.has(id));
    const list = (): readonly string[] => [
      ...listHost(this.#root).filter((item) => !known.some((id) => item.includes(id))),
      ...(dead.length === 0 ? [] : livingRemains(dead)),
    ];
    const left = [...(await awaitEmpty(list, GONE_MS))];
    if (volumes.size !== KEPT.length) left.push(`${volumes.size} volumes of ${KEPT.length} agents`);
    return left;
  }

  /** Wakes the agent. */
  async #run(name: string, source: string): Promise<string> {
    const body = { input: { content: [{ type: "bash", content: source }] }, background: false, wait_seconds: 60 };
    const { json } = await this.#ask("POST", `/agents/${name}/responses`, body);
    if (json.status !== "completed") throw new Error(`${name} does not work: ${JSON.stringify(json)}`);
    type Segment = { readonly output?: { readonly stdout?: string } };
    return json.segments.map(({ output }: Segment) => output?.stdout ?? "").join("");
  }

  async #ask(method: string, path: string, body?: unknown) {
    const reply = await ask(this.#url, this.#token, method, path, body);
    if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
    return reply;
  }

  #count(rows: ReadonlyMap<string, Row>): Counts {
    const counts: Counts = { completed: 0, failed: 0, cancelled: 0, lost: 0, rerun: 0 };
    for (const id of this.#ledger.posts.keys()) {
      const row = rows.get(id);
      if (row === undefined) continue;
      counts[row.status as "completed"] += 1;
      if (row.error?.code === "task_lost") counts.lost += 1;
      if (row.attempts > 1) counts.rerun += 1;
    }
    return counts;
  }
}

/** What is in the data folder or over it: records and folders of sandboxes and volumes, mounts, loop devices. */
export function listHost(root: string): string[] {
  const home = resolveHome({ PADDOCK_HOME: root }, process.getuid?.() ?? 0);
  const stored = [home.run, home.owners, home.workspaces].flatMap((room) =>
    listNames(room)
      .filter((name) => /^(?:sbx|vol)_/.test(name))
      .map((name) => `${room}/${name}`),
  );
  const mounts = readText("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => line.includes(`${root}/`));
  const loops = listNames("/sys/block")
    .filter((name) => name.startsWith("loop"))
    .map((name) => `${name} ${readText(`/sys/block/${name}/loop/backing_file`).trim()}`)
    .filter((text) => text.includes(`${root}/`));
  return [...stored, ...mounts, ...loops];
}

export const listSandboxes = (root: string): string[] => [
  ...new Set(listHost(root).flatMap((item) => item.match(/sbx_\w{26}/g) ?? [])),
];
