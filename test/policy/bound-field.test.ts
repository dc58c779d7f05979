import {
  create,
  createFileRegistry,
  type DescMessage,
  fromJson,
  type Message,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import {
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FieldOptions_JSType,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { type ClaimKind, type ClaimValue, credential } from "countersign";
import { describe, expect, it } from "vitest";
import { type Binder, compileBinder } from "../../src/policy/binding.ts";

const Type = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

type ScalarOptions = { readonly jstype?: FieldOptions_JSType };

/** A request with the field `claim` of a scalar type, in one of the places that a field can be in. */
const places = {
  alone: (field: FieldDescriptorProto) => ({ field: [field] }),
  optional: (field: FieldDescriptorProto) => ({
    field: [{ ...field, proto3Optional: true, oneofIndex: 0 }],
    oneofDecl: [{ name: "_claim" }],
  }),
  list: (field: FieldDescriptorProto) => ({ field: [{ ...field, label: REPEATED }] }),
  oneof: (field: FieldDescriptorProto) => ({
    field: [
      { ...field, oneofIndex: 0 },
      { name: "other", number: 2, type: Type.STRING, label: OPTIONAL, oneofIndex: 0 },
    ],
    oneofDecl: [{ name: "choice" }],
  }),
  map: (field: FieldDescriptorProto) => ({
    field: [
      {
        name: "claim",
        number: 1,
        type: Type.MESSAGE,
        typeName: ".place.Request.ClaimEntry",
        label: REPEATED,
      },
    ],
    nestedType: [
      {
        name: "ClaimEntry",
        field: [
          { name: "key", number: 1, type: Type.STRING, label: OPTIONAL },
          { ...field, name: "value", number: 2 },
        ],
        options: { mapEntry: true },
      },
    ],
  }),
};
type Place = keyof typeof places;

function requestWith(place: Place, type: FieldDescriptorProto_Type, options?: ScalarOptions) {
  const field = create(FieldDescriptorProtoSchema, {
    name: "claim",
    number: 1,
    type,
    label: OPTIONAL,
    ...(options === undefined ? {} : { options }),
  });
  const file = create(FileDescriptorProtoSchema, {
    name: "place.proto",
    package: "place",
    syntax: "proto3",
    messageType: [{ name: "Request", ...places[place](field) }],
  });
  const request = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] })).getMessage(
    "place.Request",
  );
  if (request === undefined) {
    throw new Error("no request");
  }
  return request;
}

/** A request that claims some values in its field, in the way of its place. */
function claiming(request: DescMessage, place: Place, ...values: unknown[]): Message {
  const message = create(request);
  const claimed = {
    alone: () => ({ claim: values[0] }),
    optional: () => ({ claim: values[0] }),
    list: () => ({ claim: values }),
    oneof: () => ({ choice: { case: "claim", value: values[0] } }),
    map: () => ({ claim: Object.fromEntries(values.map((value, i) => [`key${i}`, value])) }),
  };
  return values.length === 0 ? message : Object.assign(message, claimed[place]());
}

/** What a request has in its field. */
function claimed(request: DescMessage, message: Message): unknown[] {
  const field = request.fields[0];
  if (field === undefined || !reflect(request, message).isSet(field)) {
    return [];
  }
  const choice: unknown = Reflect.get(message, "choice");
  const value: unknown =
    choice === undefined ? Reflect.get(message, "claim") : Reflect.get(Object(choice), "value");
  const isMany = field.fieldKind === "map" || field.fieldKind === "list";
  return isMany ? Object.values(Object(value)) : [value];
}

function binderFor(request: DescMessage, kind: ClaimKind): Binder {
  const proof = credential("proof", { header: "proof", claims: { claim: kind } });
  const binder = compileBinder(proof, request, "a test");
  if (binder === undefined) {
    throw new Error("nothing is bound");
  }
  return binder;
}

interface Scalar {
  readonly kind: ClaimKind;
  readonly types: readonly (
    | FieldDescriptorProto_Type
    | [FieldDescriptorProto_Type, ScalarOptions]
  )[];
  readonly verified: ClaimValue;
  /** Values that are not the verified one, the zero value last. */
  readonly foreign: readonly ClaimValue[];
}

const asString = { jstype: FieldOptions_JSType.JS_STRING };
const longs = [Type.INT64, Type.UINT64, Type.SINT64, Type.FIXED64, Type.SFIXED64];
const scalars: readonly Scalar[] = [
  { kind: "string", types: [Type.STRING], verified: "me", foreign: ["you", "mew", "m", ""] },
  {
    kind: "string",
    types: longs.map((type): [FieldDescriptorProto_Type, ScalarOptions] => [type, asString]),
    verified: "7",
    foreign: ["8", "0"],
  },
  { kind: "bigint", types: longs, verified: 7n, foreign: [8n, 0n] },
  {
    kind: "number",
    types: [
      Type.DOUBLE,
      Type.FLOAT,
      Type.INT32,
      Type.UINT32,
      Type.SINT32,
      Type.FIXED32,
      Type.SFIXED32,
    ],
    verified: 7,
    foreign: [8, 0],
  },
  { kind: "boolean", types: [Type.BOOL], verified: true, foreign: [false] },
  {
    kind: "bytes",
    types: [Type.BYTES],
    verified: new Uint8Array([1, 2, 3]),
    foreign: [
      new Uint8Array([1, 2, 4]),
      new Uint8Array([9, 2, 3]),
      new Uint8Array([1, 2]),
      new Uint8Array([1, 2, 3, 4]),
      new Uint8Array(),
    ],
  },
];

describe.each(
  scalars.flatMap(({ types, ...scalar }) =>
    types.map((each) => {
      const [type, options] = Array.isArray(each) ? each : [each];
      const name = `${Type[type]}${options === undefined ? "" : " as a string"}`;
      return { ...scalar, type, options, name };
    }),
  ),
)("a field of type $name", ({ kind, type, options, verified, foreign }) => {
  const start = (place: Place) => {
    const request = requestWith(place, type, options);
    const binder = binderFor(request, kind);
    return (...values: unknown[]) => {
      const message = claiming(request, place, ...values);
      const claim = verified instanceof Uint8Array ? verified.slice() : verified;
      const mismatch = binder(message, { claim }, undefined);
      return mismatch === undefined ? claimed(request, message) : mismatch.toString();
    };
  };
  const mismatch = "field place.Request.claim";

  it.each(["alone", "optional"] as const)("%s takes the verified value, or none", (place) => {
    const bind = start(place);
    expect(bind(verified)).toEqual([verified]);
    expect(bind()).toEqual([verified]);
    const zero = foreign.at(-1);
    for (const value of foreign) {
      // Without presence the zero value is no claim.
      const isUnset = place === "alone" && value === zero;
      expect(bind(value)).toEqual(isUnset ? [verified] : mismatch);
    }
  });

  it("in a oneof takes the verified value, or stays unset", () => {
    const bind = start("oneof");
    expect(bind(verified)).toEqual([verified]);
    expect(bind()).toEqual([]);
    for (const value of foreign) {
      expect(bind(value)).toBe(mismatch);
    }
  });

  // A 64-bit integer in a map is a bigint, whatever its jstype says.
  const many = options === undefined ? (["list", "map"] as const) : (["list"] as const);
  it.each(many)("in a %s takes the verified value only", (place) => {
    const bind = start(place);
    expect(bind()).toEqual([]);
    expect(bind(verified, verified)).toEqual([verified, verified]);
    for (const value of foreign) {
      expect(bind(value)).toBe(mismatch);
      expect(bind(value, verified)).toBe(mismatch);
      expect(bind(verified, value)).toBe(mismatch);
    }
  });
});

describe("a secret", () => {
  const start = (place: Place) => {
    const request = requestWith(place, Type.STRING);
    const session = credential("session", { header: "a", secretField: "claim", claims: {} });
    const binder = compileBinder(session, request, "a test");
    return (...values: unknown[]) => {
      const message = claiming(request, place, ...values);
      const found = binder?.(message, {}, "right");
      return found === undefined ? claimed(request, message) : found.toString();
    };
  };

  it.each(["list", "map", "oneof"] as const)("is emptied in a %s", (place) => {
    const bind = start(place);
    expect(bind("right")).toEqual([""]);
    for (const wrong of ["wrong", "righ", "rightright", "right ", "Right", "righu"]) {
      expect(bind(wrong)).toBe("field place.Request.claim");
    }
  });
});

it("a field is found below messages that have none themselves", () => {
  const held = (name: string, holds: string) => ({
    name,
    field: [
      { name: "more", number: 1, type: Type.MESSAGE, typeName: ".place.Other", label: OPTIONAL },
      { name: "held", number: 2, type: Type.MESSAGE, typeName: `.place.${holds}`, label: OPTIONAL },
    ],
  });
  const file = create(FileDescriptorProtoSchema, {
    name: "place.proto",
    package: "place",
    syntax: "proto3",
    messageType: [
      { name: "Other", field: [{ name: "note", number: 1, type: Type.STRING, label: OPTIONAL }] },
      held("Request", "Outer"),
      held("Outer", "Middle"),
      held("Middle", "Inner"),
      { name: "Inner", field: [{ name: "claim", number: 1, type: Type.INT64, label: OPTIONAL }] },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  const request = registry.getMessage("place.Request");
  if (request === undefined) {
    throw new Error("no request");
  }
  const bind = (claim: bigint) => {
    const message = fromJson(request, {
      more: {},
      held: { more: {}, held: { held: { claim: `${claim}` } } },
    });
    return binderFor(request, "bigint")(message, { claim: 7n }, undefined)?.toString();
  };
  expect(bind(7n)).toBeUndefined();
  expect(bind(0n)).toBeUndefined();
  expect(bind(8n)).toBe("field place.Inner.claim");
});
