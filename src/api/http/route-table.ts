export interface RouteEntry {
  readonly method: string;
  /** Fastify's pattern: `:name` for a segment, `*` for the rest. */
  readonly url: string;
  readonly access: string;
}

/** Every route of a server, to tell a wrong method from an unknown path, and for tests that must not miss one. */
export class RouteTable {
  readonly routes: RouteEntry[] = [];
  readonly #patterns = new Map<string, { readonly regex: RegExp; readonly methods: Set<string> }>();

  add(methods: readonly string[], url: string, access: string): void {
    const pattern = this.#patterns.get(url) ?? { regex: compile(url), methods: new Set<string>() };
    this.#patterns.set(url, pattern);
    for (const method of methods) {
      pattern.methods.add(method);
      this.routes.push({ method, url, access });
    }
  }

  /** What a path may be asked with; empty when no route has it. */
  findMethods(path: string): string[] {
    const found = new Set<string>();
    for (const { regex, methods } of this.#patterns.values())
      if (regex.test(path)) for (const method of methods) found.add(method);
    return [...found].sort();
  }
}

const compile = (url: string): RegExp =>
  new RegExp(
    `^${url
      .replace(/[.+?^$()[\]{}|\\]/g, "\\$&")
      .replace(/:\w+/g, "[^/]+")
      .replace(/\*/g, ".*")}$`,
  );
