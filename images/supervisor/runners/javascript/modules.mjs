// What ties guest code to Node's module systems: the CommonJS names, code run as an ES module, and NODE_PATH.
import Module, { createRequire, registerHooks } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const moduleRuns = new Map();

/** As globals, since a script (unlike a CommonJS module) has no function around it that could bring them. */
export function defineCommonJs(file) {
  const filename = path.resolve(file);
  const module = new Module(filename, null);
  module.filename = filename;
  module.paths = Module._nodeModulePaths(path.dirname(filename));
  process.mainModule = module;
  const require = createRequire(filename);
  require.main = module;
  module.require = require;
  defineGlobals({ require, module, exports: module.exports, __filename: filename, __dirname: path.dirname(filename) });
}

export function defineGlobals(values) {
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true, enumerable: false });
  }
}

/** Runs code as an ES module that lies in the current folder, without a file. `onUrl` learns the name it runs under. */
export async function runAsModule(code, file, onUrl) {
  const base = pathToFileURL(path.resolve(file)).href;
  const count = moduleRuns.get(base) ?? 0;
  moduleRuns.set(base, count + 1);
  const url = count === 0 ? base : `${base}?run=${count}`;
  onUrl(url);
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === url ? { url, format: "module", shortCircuit: true } : next(specifier, context),
    load: (target, context, next) =>
      target === url ? { format: "module", source: code, shortCircuit: true } : next(target, context),
  });
  try {
    return await import(url);
  } finally {
    hooks.deregister();
  }
}

/** NODE_PATH is read at start, and by `require` only; a template's packages are to be found by `import` as well. */
export function configureModulePaths(env) {
  if (!env.NODE_PATH) return;
  Module._initPaths();
  const parents = env.NODE_PATH.split(path.delimiter)
    .filter((folder) => path.basename(folder) === "node_modules")
    .map((folder) => pathToFileURL(path.join(path.dirname(folder), "import.mjs")).href);
  if (parents.length > 0) registerHooks({ resolve: makeFallback(parents) });
}

function makeFallback(parents) {
  return (specifier, context, next) => {
    if (context.conditions.includes("require")) return next(specifier, context);
    try {
      return next(specifier, context);
    } catch (error) {
      if (error?.code !== "ERR_MODULE_NOT_FOUND" || /^(?:[./]|[a-z]+:)/i.test(specifier)) throw error;
      for (const parentURL of parents) {
        try {
          return next(specifier, { ...context, parentURL });
        } catch {
          // The next folder may have it; if none has, the first error is the one to show.
        }
      }
      throw error;
    }
  };
}
