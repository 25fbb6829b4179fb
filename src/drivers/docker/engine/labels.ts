/** Labels on everything that we make in an engine. Values are ours alone: no text of a tenant is among them. */
export const LABEL = {
  /** Id of the data folder whose owner records speak for the object. */
  fleet: "paddock.fleet",
  sandbox: "paddock.sandbox",
  generation: "paddock.generation",
  nodeType: "paddock.node-type",
  template: "paddock.template",
  /** Name of a node image. */
  image: "paddock.image",
} as const;

export type Labels = Readonly<Record<string, string>>;
