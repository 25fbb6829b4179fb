// A classic BPF machine, written from the kernel's documentation and sharing no code with the compiler.

export interface SeccompCall {
  readonly auditArch: number;
  readonly number: number;
  /** Up to six 64-bit arguments; missing ones are 0. */
  readonly args?: readonly bigint[];
}

export interface Outcome {
  readonly value: number;
  readonly steps: number;
}

export const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7, i386: 0x40000003, arm: 0x40000028 } as const;

/** `struct seccomp_data`: nr, arch, instruction pointer, six arguments. */
function layOutCall(call: SeccompCall): DataView {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.number >>> 0, true);
  data.setUint32(4, call.auditArch, true);
  data.setBigUint64(8, 0x7f00_dead_beefn, true);
  for (const [index, value] of (call.args ?? []).entries())
    data.setBigUint64(16 + 8 * index, BigInt.asUintN(64, value), true);
  return data;
}

function readInstruction(program: Buffer, pc: number) {
  const at = pc * 8;
  if (at + 8 > program.length) throw new Error(`ran off the end at ${pc}`);
  return {
    code: program.readUInt16LE(at),
    jt: program.readUInt8(at + 2),
    jf: program.readUInt8(at + 3),
    k: program.readUInt32LE(at + 4),
  };
}

const COMPARES: Readonly<Record<number, (a: number, k: number) => boolean>> = {
  21: (a, k) => a === k,
  37: (a, k) => a > k,
  53: (a, k) => a >= k,
  69: (a, k) => (a & k) !== 0,
};

export function runFilter(program: Buffer, call: SeccompCall): Outcome {
  const data = layOutCall(call);
  let accumulator = 0;
  let pc = 0;
  for (let steps = 1; ; steps += 1) {
    const { code, jt, jf, k } = readInstruction(program, pc);
    const compare = COMPARES[code];
    pc += 1;
    if (code === 0x06) return { value: k, steps };
    if (code === 0x20) accumulator = data.getUint32(k, true);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x05) pc += k;
    else if (compare !== undefined) pc += compare(accumulator, k) ? jt : jf;
    else throw new Error(`instruction ${pc - 1} has unknown code 0x${code.toString(16)}`);
  }
}

/**
 * What the kernel refuses to load: wrong size, unknown codes, unaligned or foreign loads, jumps past the end, no final
 * return.
 */
export function findLoadFaults(program: Buffer): string[] {
  const length = program.length / 8;
  if (!Number.isInteger(length) || length < 1 || length > 4096) return [`length ${length}`];
  const faults: string[] = [];
  for (let pc = 0; pc < length; pc += 1) {
    const { code, jt, jf, k } = readInstruction(program, pc);
    const left = length - pc - 1;
    if (code === 0x20 && (k % 4 !== 0 || k >= 64)) faults.push(`${pc}: load of ${k}`);
    else if (code === 0x05 && k >= left) faults.push(`${pc}: jump of ${k}`);
    else if (code in COMPARES && Math.max(jt, jf) >= left) faults.push(`${pc}: branch of ${jt}, ${jf}`);
    else if (![0x20, 0x05, 0x06, 0x54].includes(code) && !(code in COMPARES)) faults.push(`${pc}: code ${code}`);
  }
  if (readInstruction(program, length - 1).code !== 0x06) faults.push("does not end in a return");
  return faults;
}

/** Outcome in words: `allow`, `kill`, or the errno's name. */
export function nameOutcome(value: number): string {
  const names: Readonly<Record<number, string>> = {
    [0x7fff0000]: "allow",
    [0x80000000]: "kill",
    [0x00050001]: "EPERM",
    [0x00050026]: "ENOSYS",
    [0x0005005d]: "EPROTONOSUPPORT",
    [0x00050061]: "EAFNOSUPPORT",
  };
  return names[value] ?? `0x${value.toString(16)}`;
}
