import { PaddockError } from "../../errors/error.ts";

/** Classic BPF as seccomp accepts it. A jump without a target falls through to the next instruction. */
export type Instruction =
  | { readonly kind: "label"; readonly name: string }
  | { readonly kind: "load"; readonly offset: number }
  | { readonly kind: "and"; readonly mask: number }
  | { readonly kind: "jump"; readonly to: string }
  | {
      readonly kind: "jumpIf";
      readonly test: "equal" | "greaterOrEqual";
      readonly value: number;
      readonly yes?: string;
      readonly no?: string;
    }
  | { readonly kind: "return"; readonly value: number };

const BPF_LD_W_ABS = 0x20;
const BPF_ALU_AND_K = 0x54;
const BPF_JMP_JA = 0x05;
const BPF_JMP_JEQ_K = 0x15;
const BPF_JMP_JGE_K = 0x35;
const BPF_RET_K = 0x06;

const INSTRUCTION_BYTES = 8;
const MAX_INSTRUCTIONS = 4096;
const MAX_CONDITIONAL_JUMP = 255;

interface Branch {
  readonly yes: boolean;
  readonly no: boolean;
}

/** Where each item lands, and which conditional jumps need a long jump behind them because 8 bits do not reach. */
interface Layout {
  readonly positions: readonly number[];
  readonly labels: ReadonlyMap<string, number>;
  readonly long: ReadonlyMap<number, Branch>;
}

function countWords(item: Instruction, branch: Branch | undefined): number {
  if (item.kind === "label") return 0;
  return 1 + Number(branch?.yes ?? false) + Number(branch?.no ?? false);
}

function layOut(program: readonly Instruction[], long: ReadonlyMap<number, Branch>): Layout {
  const positions: number[] = [];
  const labels = new Map<string, number>();
  let position = 0;
  for (const [index, item] of program.entries()) {
    positions.push(position);
    if (item.kind === "label") labels.set(item.name, position);
    position += countWords(item, long.get(index));
  }
  return { positions, labels, long };
}

/**
 * Instructions skipped by a jump at `from`. BPF cannot jump backwards, so a target behind is a defect of the caller.
 */
function measureJump(layout: Layout, from: number, to: string): number {
  const target = layout.labels.get(to);
  if (target === undefined || target <= from) {
    throw new PaddockError(
      "internal",
      `seccomp: label ${to} is ${target === undefined ? "missing" : "behind its jump"}`,
    );
  }
  return target - from - 1;
}

function findFar(layout: Layout, from: number, to: string | undefined): boolean {
  return to !== undefined && measureJump(layout, from, to) > MAX_CONDITIONAL_JUMP;
}

/**
 * Lengthening one jump can push another out of reach, so lay out again until nothing changes. Jumps only ever grow: it
 * ends.
 */
function settleLayout(program: readonly Instruction[]): Layout {
  let layout = layOut(program, new Map());
  for (;;) {
    const long = new Map(layout.long);
    for (const [index, item] of program.entries()) {
      if (item.kind !== "jumpIf") continue;
      const from = layout.positions[index] ?? 0;
      const known = long.get(index);
      const yes = (known?.yes ?? false) || findFar(layout, from, item.yes);
      const no = (known?.no ?? false) || findFar(layout, from, item.no);
      if (yes || no) long.set(index, { yes, no });
    }
    const next = layOut(program, long);
    if (next.positions.every((position, index) => position === layout.positions[index])) return next;
    layout = next;
  }
}

type Word = readonly [code: number, jt: number, jf: number, k: number];

function encodeBranch(
  item: Extract<Instruction, { kind: "jumpIf" }>,
  from: number,
  index: number,
  layout: Layout,
): Word[] {
  const branch = layout.long.get(index) ?? { yes: false, no: false };
  const longWords = countWords(item, branch) - 1;
  const reach = (to: string | undefined, isLong: boolean, slot: number): number => {
    if (isLong) return slot;
    return to === undefined ? longWords : measureJump(layout, from, to);
  };
  const code = item.test === "equal" ? BPF_JMP_JEQ_K : BPF_JMP_JGE_K;
  const noSlot = branch.yes ? 1 : 0;
  const words: Word[] = [[code, reach(item.yes, branch.yes, 0), reach(item.no, branch.no, noSlot), item.value]];
  if (branch.yes && item.yes !== undefined) words.push([BPF_JMP_JA, 0, 0, measureJump(layout, from + 1, item.yes)]);
  if (branch.no && item.no !== undefined)
    words.push([BPF_JMP_JA, 0, 0, measureJump(layout, from + 1 + noSlot, item.no)]);
  return words;
}

function encode(item: Instruction, index: number, layout: Layout): Word[] {
  const from = layout.positions[index] ?? 0;
  switch (item.kind) {
    case "label":
      return [];
    case "load":
      return [[BPF_LD_W_ABS, 0, 0, item.offset]];
    case "and":
      return [[BPF_ALU_AND_K, 0, 0, item.mask]];
    case "jump":
      return [[BPF_JMP_JA, 0, 0, measureJump(layout, from, item.to)]];
    case "jumpIf":
      return encodeBranch(item, from, index, layout);
    case "return":
      return [[BPF_RET_K, 0, 0, item.value]];
  }
}

/** An array of `struct sock_filter` in little-endian order, as bubblewrap's `--seccomp` reads it. */
export function assembleBpf(program: readonly Instruction[]): Buffer {
  const layout = settleLayout(program);
  const words = program.flatMap((item, index) => encode(item, index, layout));
  if (words.length > MAX_INSTRUCTIONS) {
    throw new PaddockError("internal", `seccomp: ${words.length} instructions exceed the kernel's ${MAX_INSTRUCTIONS}`);
  }
  const code = Buffer.alloc(words.length * INSTRUCTION_BYTES);
  for (const [index, [opcode, jt, jf, k]] of words.entries()) {
    const at = index * INSTRUCTION_BYTES;
    code.writeUInt16LE(opcode, at);
    code.writeUInt8(jt, at + 2);
    code.writeUInt8(jf, at + 3);
    code.writeUInt32LE(k, at + 4);
  }
  return code;
}
