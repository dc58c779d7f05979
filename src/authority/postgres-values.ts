/** Object ids of types, from PostgreSQL's pg_type.dat. */
const types = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  float4: 700,
  float8: 701,
} as const;

/**
 * How the text form of a column's values is read: integers as bigints, as
 * SQLite's are; bytes as a Uint8Array; what has no number or bytes to it as text.
 */
export function parserOf(oid: number): (value: string | Uint8Array) => unknown {
  const parse = parserOfText(oid);
  return (value) => {
    if (typeof value !== "string") {
      throw new TypeError("PostgreSQL's driver must be asked for the text form of values");
    }
    return parse(value);
  };
}

function parserOfText(oid: number): (value: string) => unknown {
  switch (oid) {
    case types.int2:
    case types.int4:
    case types.int8:
      return BigInt;
    case types.float4:
    case types.float8:
      return Number;
    case types.bool:
      return (value) => value === "t";
    case types.bytea:
      return parseBytes;
    default:
      return (value) => value;
  }
}

function parseBytes(value: string): Uint8Array {
  if (!value.startsWith("\\x")) {
    throw new TypeError('PostgreSQL\'s "bytea_output" must be "hex"');
  }
  const { buffer, byteOffset, byteLength } = Buffer.from(value.slice(2), "hex");
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * Turns Kysely's parameters into what is sent: text, or bytes as they are.
 *
 * @throws TypeError if a value has no SQL form; the message shows its type, never the value.
 */
export function encodeParameters(parameters: readonly unknown[]): (string | Uint8Array | null)[] {
  return parameters.map(encodeParameter);
}

function encodeParameter(value: unknown): string | Uint8Array | null {
  if (value === null || typeof value === "string" || value instanceof Uint8Array) {
    return value;
  }
  if (typeof value === "bigint" || (typeof value === "number" && !Number.isNaN(value))) {
    return String(value);
  }
  const found = Number.isNaN(value) ? "NaN" : typeof value;
  throw new TypeError(
    `a SQL parameter must be a string, number, bigint, Uint8Array or null, not ${found}`,
  );
}
