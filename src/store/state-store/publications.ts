import type { AgentRow, Publication, PublishPermissions } from "../../model/agent.ts";
import type { AgentId } from "../../model/ids.ts";

export interface PublishedFile {
  /** Relative, `/` between segments. */
  readonly path: string;
  /** Key in the artifact store. */
  readonly artifactKey: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What an agent publishes from now on. */
export interface NewPublication {
  /** Null: nothing any more. */
  readonly published: Publication | null;
  readonly revision: string;
  readonly permissions: PublishPermissions;
  readonly files: readonly PublishedFile[];
}

/** What agents publish. */
export interface PublicationStore {
  /**
   * Takes the place of what was published before, with `expected` only if that is the agent's `publicationRevision`.
   * `unused`: the artifact keys that nobody needs any more. Undefined when it is another one or the agent is gone:
   * nothing is changed then.
   */
  replacePublished(
    id: AgentId,
    publication: NewPublication,
    expected?: string | null,
  ): Promise<{ readonly agent: AgentRow; readonly unused: readonly string[] } | undefined>;
  findPublishedFile(agentName: string, path: string): Promise<PublishedFile | undefined>;
}
