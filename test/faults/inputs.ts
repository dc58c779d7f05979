import fc from "fast-check";

/** How many inputs a whole run makes. Set by FAULT_INPUTS; 10,000 unless told. */
export const inputCount = positiveInteger("FAULT_INPUTS", 10_000);

/** Seed of a run: printed by fast-check when an input fails. Set by FAULT_SEED. */
export const seed = positiveInteger("FAULT_SEED", Date.now() & 0x7fffffff);

/** Reads a number that the environment may set. */
export function positiveInteger(name: string, standard: number): number {
  const value = Number(process.env[name] ?? standard);
  if (!Number.isInteger(value) || value < 1) {
    throw new TypeError(`${name} must be a positive integer, not ${process.env[name]}`);
  }
  return value;
}

type Change =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "cut"; readonly at: number; readonly length: number }
  | { readonly kind: "repeat"; readonly at: number; readonly length: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "end"; readonly at: number };

// Places are fractions of the length, so that they mean something in every text.
const place = fc.double({ min: 0, max: 1, noNaN: true });
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("flip"), at: place, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant("cut"), at: place, length: fc.nat(40) }),
  fc.record({ kind: fc.constant("repeat"), at: place, length: fc.nat(200) }),
  fc.record({ kind: fc.constant("insert"), at: place, bytes: fc.uint8Array({ maxLength: 40 }) }),
  fc.record({ kind: fc.constant("end"), at: place }),
);

/** Bytes near those of an arbitrary: unchanged, or changed in a few places. */
export function near(original: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(original, fc.array(change, { maxLength: 4 }))
    .map(([bytes, changes]) => changes.reduce(apply, bytes));
}

/** Bytes of any kind, or near those of some originals. */
export function bytesLike(...originals: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
    { weight: 4, arbitrary: near(fc.constantFrom(...originals)) },
  );
}

function apply(bytes: Uint8Array, step: Change): Uint8Array {
  const at = Math.min(bytes.length, Math.floor(step.at * (bytes.length + 1)));
  switch (step.kind) {
    case "flip": {
      const copy = Uint8Array.from(bytes);
      const byte = copy[at];
      if (byte !== undefined) {
        copy[at] = byte ^ (1 << step.bit);
      }
      return copy;
    }
    case "cut":
      return join(bytes.subarray(0, at), bytes.subarray(at + step.length));
    case "repeat":
      return join(bytes.subarray(0, at + step.length), bytes.subarray(at));
    case "insert":
      return join(bytes.subarray(0, at), step.bytes, bytes.subarray(at));
    case "end":
      return bytes.subarray(0, at);
  }
}

/** Joins bytes. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** Text as bytes. */
export function text(value: string): Uint8Array {
  return Buffer.from(value, "latin1");
}
