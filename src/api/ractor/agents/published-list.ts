import type { AgentStore } from "../../../store/state-store/agents.ts";
import type { PublishedQuery } from "../request/query-schemas.ts";
import { viewAgent } from "./agent-view.ts";

const MAX_LIMIT = 100;
/** Further back nobody pages: each page costs the database all that come before it. */
const MAX_OFFSET = 10_000;
/** Agents after so much of a page come without their description. */
const MAX_LENGTH = 256 * 1024;
const FRESH_MS = 1000;
const MAX_PAGES = 100;

interface Page {
  readonly madeAt: number;
  readonly json: Promise<string>;
}

/**
 * Pages of published agents for anybody, as JSON. Whoever asks within a second gets what another was given: strangers
 * cost one query together.
 */
export class PublishedList {
  readonly #store: AgentStore;
  readonly #pages = new Map<string, Page>();

  constructor(store: AgentStore) {
    this.#store = store;
  }

  async readPage({ limit = MAX_LIMIT, offset = 0 }: PublishedQuery): Promise<string> {
    const asked = { limit: Math.min(MAX_LIMIT, limit), offset: Math.min(MAX_OFFSET, offset) };
    if (asked.limit === 0) return "[]";
    const key = `${asked.limit} ${asked.offset}`;
    const known = this.#pages.get(key);
    if (known !== undefined && performance.now() - known.madeAt < FRESH_MS) return await known.json;
    if (this.#pages.size >= MAX_PAGES) this.#pages.clear();
    const page = { madeAt: performance.now(), json: this.#make(asked) };
    this.#pages.set(key, page);
    page.json.catch(() => this.#pages.delete(key));
    return await page.json;
  }

  forget(): void {
    this.#pages.clear();
  }

  async #make(asked: { readonly limit: number; readonly offset: number }): Promise<string> {
    const { items } = await this.#store.listAgents({ publishedOnly: true, ...asked });
    let length = 0;
    const shown = items.map((agent) => {
      const view = { ...viewAgent(agent), metadata: null };
      length += JSON.stringify(view).length;
      return length > MAX_LENGTH ? { ...view, description: null } : view;
    });
    return JSON.stringify(shown);
  }
}
