import { PaddockError } from "../../../errors/error.ts";
import type { ArgumentCase, ArgumentTest, SeccompAction, SeccompRule } from "../../seccomp/rule.ts";

const WHOLE_ARGUMENT = 0xffff_ffff;

/** An argument's values whose bits under `mask` are `bits`. */
export interface MaskedValue {
  readonly mask: number;
  readonly bits: number;
}

/** All calls whose arguments (by number) are such values get `action`; arguments that are absent are free. */
export interface DecidedCube {
  readonly cube: ReadonlyMap<number, MaskedValue>;
  readonly action: SeccompAction;
}

const ANY: MaskedValue = { mask: 0, bits: 0 };

function narrow({ mask, bits }: MaskedValue, bit: number, isSet: boolean): MaskedValue {
  return { mask: (mask | bit) >>> 0, bits: (isSet ? bits | bit : bits) >>> 0 };
}

/**
 * The fewest masked values that a walk over the bits of `mask`, highest first, needs to hold exactly `wanted` of all
 * values under it.
 */
function cover(values: readonly number[], mask: number, isWanted: boolean, at: MaskedValue = ANY): MaskedValue[] {
  if (values.length === 0) return isWanted ? [] : [at];
  const free = (mask & ~at.mask) >>> 0;
  if (free === 0) return isWanted ? [at] : [];
  const bit = 2 ** (31 - Math.clz32(free));
  const [set, clear] = [true, false].map((isSet) => values.filter((value) => ((value & bit) !== 0) === isSet));
  const without = (list: readonly number[] = []): string => list.map((value) => (value & ~bit) >>> 0).join();
  if (without(set) === without(clear)) return cover(clear ?? [], mask & ~bit, isWanted, at);
  return [
    ...cover(clear ?? [], mask, isWanted, narrow(at, bit, false)),
    ...cover(set ?? [], mask, isWanted, narrow(at, bit, true)),
  ];
}

const findTest = ({ when }: ArgumentCase, argument: number): ArgumentTest | undefined =>
  when.find((test) => test.argument === argument);

function readMask(cases: readonly ArgumentCase[], argument: number): number {
  const masks = new Set(
    cases.flatMap((candidate) => findTest(candidate, argument) ?? []).map(({ mask = WHOLE_ARGUMENT }) => mask),
  );
  const [mask] = masks;
  if (mask === undefined || masks.size > 1) {
    throw new PaddockError("internal", `seccomp: argument ${argument} is tested under ${masks.size} masks in one rule`);
  }
  return mask;
}

/**
 * The cases that still can match once `argument` has `value` (undefined: none of the values tested), without their test
 * of it.
 */
function keepMatching(cases: readonly ArgumentCase[], argument: number, value: number | undefined): ArgumentCase[] {
  return cases
    .filter((candidate) => {
      const test = findTest(candidate, argument);
      return test === undefined || (value !== undefined && test.oneOf.includes(value));
    })
    .map((candidate) => ({ ...candidate, when: candidate.when.filter((test) => test.argument !== argument) }));
}

/** The tested values of an argument, grouped by the cases that they leave. */
function groupValues(cases: readonly ArgumentCase[], argument: number): Map<string, number[]> {
  const values = new Set(cases.flatMap((candidate) => findTest(candidate, argument)?.oneOf ?? []));
  const groups = new Map<string, number[]>();
  for (const value of [...values].sort((left, right) => left - right)) {
    const key = JSON.stringify(keepMatching(cases, argument, value));
    groups.set(key, [...(groups.get(key) ?? []), value]);
  }
  return groups;
}

function decide(cases: readonly ArgumentCase[], otherwise: SeccompAction, from: number): DecidedCube[] {
  const first = cases[0];
  if (first === undefined || first.when.length === 0) {
    return [{ cube: new Map(), action: first?.action ?? otherwise }];
  }
  const argument = Math.min(
    ...cases.flatMap(({ when }) => when.map((test) => test.argument)).filter((at) => at >= from),
  );
  const mask = readMask(cases, argument);
  const branch = (values: readonly MaskedValue[], rest: readonly ArgumentCase[]): DecidedCube[] =>
    decide(rest, otherwise, argument + 1).flatMap(({ cube, action }) =>
      values.map((value) => ({ cube: new Map([[argument, value], ...cube]), action })),
    );
  const groups = [...groupValues(cases, argument).values()];
  return [
    ...groups.flatMap((values) => branch(cover(values, mask, true), keepMatching(cases, argument, values[0]))),
    ...branch(cover(groups.flat(), mask, false), keepMatching(cases, argument, undefined)),
  ];
}

/**
 * A rule's cases as argument combinations that never overlap and together hold every call. libseccomp gives overlapping
 * rules no order, and it has no "masked and not equal": so "first match" and "otherwise" become disjoint masked
 * equalities.
 */
export function separateCases({ cases = [], action }: SeccompRule): readonly DecidedCube[] {
  return decide(cases, action, 0);
}
