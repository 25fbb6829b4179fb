const MAX_CHARACTERS = 100;

/**
 * A line of an engine's build output as people want it: `3/17 RUN apt-get ...` where a step begins, undefined for all
 * between. Docker writes `Step 3/17 : RUN`, Podman `STEP 3/17: RUN`.
 */
export function describeBuildStep(line: string): string | undefined {
  const [, at, instruction] = /^step (\d+\/\d+)\s*: (.*)$/is.exec(line) ?? [];
  if (at === undefined || instruction === undefined) return undefined;
  const text = `${at} ${instruction.replace(/\s+/g, " ").trim()}`;
  return text.length <= MAX_CHARACTERS ? text : `${text.slice(0, MAX_CHARACTERS - 1)}…`;
}
