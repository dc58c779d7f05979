declare const sqlUint64: unique symbol;

/**
 * An unsigned integer of 64 bits as SQL stores it: SQL knows signed integers
 * only, so the upper half of the range appears as negative numbers (two's
 * complement). The type is opaque, so that a stored value cannot be taken for
 * the id it stands for: convert with {@link toSqlInteger} and
 * {@link fromSqlInteger}. Equality survives the conversion, order does not.
 */
export interface SqlUint64 {
  readonly [sqlUint64]: "unsigned 64-bit integer in two's complement";
}

const maxUint64 = 2n ** 64n - 1n;

/**
 * Turns an unsigned integer of 64 bits into its stored form.
 *
 * @throws RangeError if the value is negative or has more than 64 bits.
 */
export function toSqlInteger(value: bigint): SqlUint64 {
  if (value < 0n || value > maxUint64) {
    throw new RangeError("an id must be an unsigned integer of 64 bits");
  }
  return stored(BigInt.asIntN(64, value));
}

/** Turns a stored integer back into the unsigned one. */
export function fromSqlInteger(value: SqlUint64): bigint {
  return BigInt.asUintN(64, unstored(value));
}

/** The one place where a bigint becomes opaque: at run time a {@link SqlUint64} is a bigint. */
function stored(value: bigint): SqlUint64 {
  return value as unknown as SqlUint64;
}

/** The one place where an opaque value becomes a bigint again. */
function unstored(value: SqlUint64): bigint {
  return value as unknown as bigint;
}
