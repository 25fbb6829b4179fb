import fc from "fast-check";

/** What one client does next. Names are places in the schedule's list; the last one is only ever made by remixing. */
export type Step =
  | { readonly kind: "create"; readonly name: number; readonly key: number | null; readonly prompt: boolean }
  | {
      readonly kind: "post";
      readonly name: number;
      readonly work: "instant" | "short" | "endless";
      readonly key: number | null;
      readonly refuse: boolean;
      readonly waits: boolean;
    }
  | { readonly kind: "end"; readonly name: number; readonly how: "cancel" | "put"; readonly newest: boolean }
  | {
      readonly kind: "cancel" | "sleep" | "delay" | "wake" | "wakeUp" | "settle" | "delete" | "remix" | "look" | "list";
      readonly name: number;
    }
  | { readonly kind: "upload" | "read"; readonly name: number }
  | { readonly kind: "pause"; readonly ms: number };

export const NAMES = 3;
const name = fc.constantFrom(0, 0, 1);
const anyName = fc.constantFrom(0, 0, 0, 1, 1, 2);
const key = fc.option(fc.nat({ max: 2 }), { nil: null, freq: 3 });
const plain = <K extends Step["kind"]>(kind: K, of: fc.Arbitrary<number> = anyName) =>
  fc.record({ kind: fc.constant(kind), name: of });
const of = (weight: number, arbitrary: fc.Arbitrary<unknown>) => ({
  weight,
  arbitrary: arbitrary as fc.Arbitrary<Step>,
});

const step = fc.oneof(
  of(3, fc.record({ kind: fc.constant("create"), name, key, prompt: fc.boolean() })),
  of(
    9,
    fc.record({
      ...{ kind: fc.constant("post"), name: anyName, key, refuse: fc.nat({ max: 5 }).map((n) => n === 0) },
      work: fc.constantFrom("instant", "instant", "short", "short", "endless"),
      waits: fc.nat({ max: 5 }).map((n) => n === 0),
    }),
  ),
  of(
    3,
    fc.record({ kind: fc.constant("end"), name: anyName, how: fc.constantFrom("cancel", "put"), newest: fc.boolean() }),
  ),
  of(2, plain("cancel")),
  of(2, plain("sleep")),
  of(1, plain("delay")),
  of(1, plain("wake")),
  of(1, plain("wakeUp")),
  of(1, plain("settle")),
  of(1, plain("delete")),
  of(1, plain("remix", name)),
  of(1, plain("look")),
  of(1, plain("list")),
  of(1, plain("upload")),
  of(1, plain("read")),
  of(4, fc.record({ kind: fc.constant("pause"), ms: fc.constantFrom(1, 3, 10, 30, 80) })),
);

/** Two clients at once. Both begin by making an agent, so that most of the rest meets one. */
export const schedule: fc.Arbitrary<readonly [readonly Step[], readonly Step[]]> = fc
  .tuple(
    name,
    fc.array(step, { minLength: 6, maxLength: 16, size: "max" }),
    fc.array(step, { minLength: 6, maxLength: 16, size: "max" }),
  )
  .map(([first, one, other]) => {
    const make = (at: number): Step => ({ kind: "create", name: at, key: null, prompt: false });
    return [
      [make(first), ...one],
      [make(0), ...other],
    ];
  });
