import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { App } from "../app.ts";
import { PaddockError } from "../errors/error.ts";
import { replaceFile } from "../lib/atomic-file.ts";
import { ifThere } from "../lib/if-there.ts";
import { tryJson } from "../lib/json.ts";
import type { AgentStore } from "../store/state-store/agents.ts";
import type { UpkeepStore } from "../store/state-store/upkeep.ts";

/** The database whose agents have their workspaces in a data folder, and the name it knows the folder by. */
const Claim = z.strictObject({
  kind: z.enum(["sqlite", "postgres"]),
  database_id: z.string().min(1),
  node_id: z.string().min(1),
});
type Claim = z.infer<typeof Claim>;

const NAMES = { sqlite: "the embedded database", postgres: "the Postgres database" } as const;

export interface ClaimOptions {
  /** Of the state. */
  readonly folder: string;
  readonly store: AgentStore & UpkeepStore;
  readonly fleet: Pick<App["fleet"], "volumes">;
  readonly nodeId: string;
  /** This database may take the folder over, whoever had it. */
  readonly accepted: string | undefined;
}

/**
 * Whether a start may remove workspaces that its database does not know. Throws `invalid_config` when the data folder
 * belongs to another database, or may do so. Returns what makes the folder this database's own, to be called when the
 * start has succeeded.
 */
export async function checkClaim({ folder, store, fleet, nodeId, accepted }: ClaimOptions): Promise<() => void> {
  const path = join(folder, "database.json");
  const present: Claim = { kind: store.kind, database_id: await store.readId(), node_id: nodeId };
  const known = readClaim(path);
  const keep = (): void => {
    if (JSON.stringify(known) !== JSON.stringify(present))
      replaceFile(path, `${JSON.stringify(present)}\n`, { isDurable: true });
  };
  if (accepted === present.database_id) return keep;
  if (accepted !== undefined)
    throw new PaddockError(
      "invalid_config",
      `--accept-database names ${accepted}; this start has ${describe(present)}`,
    );
  if (known === undefined) await assertNothingToLose(store, fleet, present);
  else assertSame(folder, known, present);
  return keep;
}

function assertSame(folder: string, known: Claim, present: Claim): void {
  if (known.database_id !== present.database_id)
    throw new PaddockError(
      "invalid_config",
      `the data folder ${dirname(folder)} belongs to ${describe(known)}; this start has ${describe(present)}`,
      { hint: explain(present) },
    );
  if (known.node_id !== present.node_id)
    throw new PaddockError(
      "invalid_config",
      `${join(folder, "node-id")} holds ${present.node_id}; the agents of this data folder are those of ${known.node_id}`,
      { hint: `Write ${known.node_id} into that file. ${giveUp(present)}` },
    );
}

/** A folder of before there were claims, or one that lost its state. */
async function assertNothingToLose(
  store: AgentStore,
  fleet: Pick<App["fleet"], "volumes">,
  present: Claim,
): Promise<void> {
  const { length } = await fleet.volumes.list();
  if (length === 0) return;
  const agents = await store.countAgents(present.node_id);
  if (Object.values(agents).some((count) => count > 0)) return;
  const them = length === 1 ? "1 agent workspace" : `${length} agent workspaces`;
  throw new PaddockError(
    "invalid_config",
    `the data folder has ${them}, and ${describe(present)} knows no agent of it (${present.node_id})`,
    { hint: explain(present) },
  );
}

const describe = ({ kind, database_id: id }: Claim): string => `${NAMES[kind]} ${id}`;

const explain = (present: Claim): string =>
  `Nothing was deleted. Start with the database used before (DATABASE_URL, or database_url in config.json; without them it is the embedded one), or give this one a data folder of its own with PADDOCK_HOME. ${giveUp(present)}`;

const giveUp = ({ database_id: id }: Claim): string =>
  `To delete the workspaces of all agents that this database does not know, for good: paddock serve --accept-database ${id}`;

function readClaim(path: string): Claim | undefined {
  const text = ifThere(() => readFileSync(path, "utf8"));
  if (text === undefined) return undefined;
  const read = Claim.safeParse(tryJson(text));
  if (read.success) return read.data;
  throw new PaddockError("invalid_config", `${path} does not say which database the data folder belongs to`, {
    hint: "Restore the file from a backup, or remove it: then a start is refused only when its database knows no agents of this folder.",
  });
}
