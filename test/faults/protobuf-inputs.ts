import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";

const known = new Map<string, fc.Arbitrary<Uint8Array>>();

/** How deep messages are filled. */
const maxDepth = 4;

/**
 * Encoded messages of a descriptor: some of its fields, with values at the
 * edges of their types. Repeated fields and oneofs come as any other, once or not
 * at all; changes to the bytes do the rest.
 */
export function protobufOf(desc: DescMessage, depth = 0): fc.Arbitrary<Uint8Array> {
  const key = `${depth} ${desc.typeName}`;
  let found = known.get(key);
  if (found === undefined) {
    found =
      depth === maxDepth
        ? fc.constant(new Uint8Array())
        : fc
            .tuple(
              ...desc.fields.map((field) => fc.option(fieldOf(field, depth), { nil: undefined })),
            )
            .map((parts) => Buffer.concat(parts.filter((part) => part !== undefined)));
    known.set(key, found);
  }
  return found;
}

function fieldOf(field: DescField, depth: number): fc.Arbitrary<Uint8Array> {
  switch (field.fieldKind) {
    case "message":
      return delimited(field.number, protobufOf(field.message, depth + 1));
    case "map":
      return delimited(field.number, fc.uint8Array({ maxLength: 20 }));
    case "enum":
      return varint(field.number);
    case "list":
      return field.listKind === "message"
        ? delimited(field.number, protobufOf(field.message, depth + 1))
        : scalarOf(field.number, field.listKind === "scalar" ? field.scalar : ScalarType.INT32);
    case "scalar":
      return scalarOf(field.number, field.scalar);
  }
}

function scalarOf(number: number, type: ScalarType): fc.Arbitrary<Uint8Array> {
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return delimited(number, texts);
    case ScalarType.DOUBLE:
      return fc
        .double()
        .map((value) => new BinaryWriter().tag(number, WireType.Bit64).double(value).finish());
    default:
      return varint(number);
  }
}

const texts = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.string({ maxLength: 40 }).map((value) => new TextEncoder().encode(value)),
  // What looks like an object id, and what is the head of an object.
  fc.stringMatching(/^[0-9a-f]{64}$/).map((value) => new TextEncoder().encode(value)),
  fc
    .constantFrom("train", "query", "Message  0\0", "ConfigRecord  0\0", "RecordDict  4\0{}")
    .map((value) => new TextEncoder().encode(value)),
);

function varint(number: number): fc.Arbitrary<Uint8Array> {
  return fc
    .oneof(
      fc.constantFrom(0n, 1n, 2n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n),
      fc.bigInt(0n, (1n << 64n) - 1n),
    )
    .map((value) => new BinaryWriter().tag(number, WireType.Varint).uint64(value).finish());
}

function delimited(number: number, content: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  return content.map((bytes) =>
    new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish(),
  );
}
