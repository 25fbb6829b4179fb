/*
 * Parameters reach a program as one string literal of printable ASCII that holds JSON. In it only `"` and `\` are
 * escaped, which Python and JavaScript read the same way, so no parameter can end the literal.
 */

export function embedPython(parameters: object, program: string): string {
  return `import json\n\nPARAMETERS = json.loads(${quoteJson(parameters)})\n\n${program}`;
}

export function embedJavascript(parameters: object, program: string): string {
  return `const parameters = JSON.parse(${quoteJson(parameters)});\n\n${program}`;
}

function quoteJson(parameters: object): string {
  const ascii = JSON.stringify(parameters).replaceAll(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return JSON.stringify(ascii);
}
