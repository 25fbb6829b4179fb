export const NODE_TYPES = ["python", "javascript", "file", "web"] as const;
export type NodeType = (typeof NODE_TYPES)[number];

const ALIASES: Readonly<Record<string, NodeType>> = {
  file_ops: "file",
  web_ops: "web",
  node: "javascript",
  js: "javascript",
};

/** The node type for a name or an alias from outside (`file_ops`, `web_ops`, `node`, `js`); undefined when unknown. */
export function parseNodeType(name: string): NodeType | undefined {
  const known = NODE_TYPES.find((type) => type === name);
  return known ?? (Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined);
}
