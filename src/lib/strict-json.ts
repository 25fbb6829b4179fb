/**
 * How deep and how much one document may be: the work of parsing and checking it stays far below a tenth of a second.
 */
const MAX_DEPTH = 32;
const MAX_VALUES = 100_000;
/** Keys cost far more than values: each is looked up, and large objects become hash tables. */
const MAX_KEYS = 10_000;
/** Names that reach a prototype when an object is copied carelessly. */
const REFUSED_KEYS = new Set(["__proto__", "constructor"]);

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Parses JSON from outside. Throws `SyntaxError` for what is no JSON, for more than 32 levels, 100,000 values or 10,000
 * keys, for an object with the same key twice, and for the keys `__proto__` and `constructor`.
 */
export function parseStrictJson(text: string): unknown {
  scan(text);
  return JSON.parse(text);
}

/**
 * One pass over the text before anything is built from it. What is no JSON may pass here: the parser refuses it then.
 */
function scan(text: string): void {
  /** The keys so far of each open object; null for an array. */
  const open: (Set<string> | null)[] = [];
  let values = 1;
  let keyCount = 0;
  let isKeyNext = false;
  for (let index = 0; index < text.length; index++) {
    switch (text.charCodeAt(index)) {
      case QUOTE: {
        const end = findEnd(text, index + 1);
        const keys = open.at(-1);
        if (isKeyNext && keys) {
          addKey(keys, text.slice(index, end + 1));
          keyCount += 1;
        }
        index = end;
        break;
      }
      case 0x7b: // {
      case 0x5b: // [
        isKeyNext = text[index] === "{";
        open.push(isKeyNext ? new Set() : null);
        values += 1;
        if (open.length > MAX_DEPTH) throw new SyntaxError(`more than ${MAX_DEPTH} levels`);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        break;
      case 0x2c: // ,
        isKeyNext = open.at(-1) instanceof Set;
        values += 1;
        break;
      case 0x3a: // :
        isKeyNext = false;
        break;
    }
    if (keyCount > MAX_KEYS) throw new SyntaxError(`more than ${MAX_KEYS} keys`);
    if (values > MAX_VALUES) throw new SyntaxError(`more than ${MAX_VALUES} values`);
  }
}

function addKey(keys: Set<string>, quoted: string): void {
  const key = quoted.includes("\\") ? String(JSON.parse(quoted)) : quoted.slice(1, -1);
  if (keys.has(key)) throw new SyntaxError("the same key twice in one object");
  if (REFUSED_KEYS.has(key)) throw new SyntaxError(`the key ${key}`);
  keys.add(key);
}

/** Index of the quote that ends a string. */
function findEnd(text: string, from: number): number {
  for (let end = text.indexOf('"', from); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (end - 1 - slashes >= from && text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
  throw new SyntaxError("a string without its end");
}
