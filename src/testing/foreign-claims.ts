import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { isSearched } from "../policy/binding.ts";
import { kindOf } from "../policy/bound-field.ts";
import type { AnyCredential, ClaimValue } from "../policy/credential.ts";
import type { LiveCredential } from "./credential-cases.ts";

/** A request that names, in one of its fields, what the caller's credential does not prove. */
export interface ForeignRequest {
  /** The field as the .proto file names it, `[]` for an element: `letter.answers[].mailbox_id`. */
  readonly path: string;
  readonly message: Message;
}

/** How often a message type that contains itself is entered on the way to a field. */
const maxRecursion = 2;

/** The most requests for one RPC: message types can be nested into each other without end. */
export const maxForeignRequests = 200;

/** A value to write, and the caller's own, which is written beside it where a field has many. */
interface Values {
  readonly own: ClaimValue;
  readonly foreign: ClaimValue;
  readonly hasZero: boolean;
}

/**
 * Makes a request for every field that a credential binds in an RPC's requests:
 * singular, nested, in lists and maps, in oneofs and in messages that contain
 * themselves. Each is empty but for that field, which names another value than
 * the credential proves; of a field with explicit presence one more names 0.
 * In lists and maps the other value comes second, after the caller's own.
 *
 * @throws TypeError if `claims` lacks one that binds a field of this RPC.
 */
export function foreignRequests(
  method: DescMethod,
  credential: AnyCredential,
  live: LiveCredential,
): readonly ForeignRequest[] {
  const valuesOf = (field: DescField): Values | undefined => {
    if (field.localName === credential.secretField && typeof live.presented === "string") {
      const foreign = "0".repeat(live.presented.length);
      return { own: live.presented, foreign, hasZero: false };
    }
    for (const [claim, { binds }] of credential.claims) {
      if (binds.includes(field.localName)) {
        const own = live.claims[claim];
        if (own === undefined) {
          throw new TypeError(
            `"claims" of credential "${credential.name}" must have "${claim}", which binds ${field.parent.typeName}.${field.name}`,
          );
        }
        return { own, foreign: otherThan(own), hasZero: !isZero(own) };
      }
    }
    return undefined;
  };
  const found: ForeignRequest[] = [];
  for (const { path, fields, values } of pathsIn(method.input, valuesOf, [])) {
    const leaf = fields.at(-1);
    if (leaf === undefined || found.length >= maxForeignRequests) {
      break;
    }
    found.push({ path, message: messageWith(method.input, fields, values.foreign, values.own) });
    if (values.hasZero && hasExplicitZero(leaf)) {
      const message = messageWith(method.input, fields, zeroLike(values.own), values.own);
      found.push({ path: `${path} = 0`, message });
    }
  }
  return found;
}

interface FieldPath {
  readonly path: string;
  readonly fields: readonly DescField[];
  readonly values: Values;
}

function* pathsIn(
  desc: DescMessage,
  valuesOf: (field: DescField) => Values | undefined,
  parents: readonly DescField[],
): Generator<FieldPath> {
  for (const field of desc.fields) {
    const fields = [...parents, field];
    const values = valuesOf(field);
    if (values !== undefined && kindOf(field) !== undefined) {
      yield { path: fields.map(nameOf).join("."), fields, values };
    } else if (field.message !== undefined && isSearched(field.message)) {
      const { message } = field;
      const entered = parents.filter((parent) => parent.message === message).length;
      if (entered < maxRecursion) {
        yield* pathsIn(message, valuesOf, fields);
      }
    }
  }
}

function nameOf(field: DescField): string {
  return `${field.name}${field.fieldKind === "list" || field.fieldKind === "map" ? "[]" : ""}`;
}

/**
 * A message that is empty but for the fields of a path, which end in a value.
 *
 * @param own - what the first elements of lists and maps on the way end in.
 */
export function messageWith(
  desc: DescMessage,
  [field, ...rest]: readonly DescField[],
  last: ClaimValue,
  own: ClaimValue = last,
): Message {
  const reflected = reflect(desc);
  if (field === undefined) {
    return reflected.message;
  }
  const toSet = (value: ClaimValue): unknown =>
    field.message === undefined
      ? scalarOf(field, value)
      : reflect(field.message, messageWith(field.message, rest, value, own));
  switch (field.fieldKind) {
    case "list": {
      const list = reflected.get(field);
      list.add(toSet(own));
      list.add(toSet(last));
      break;
    }
    case "map": {
      const map = reflected.get(field);
      const [first, second] = mapKeys(field.mapKey);
      map.set(first, toSet(own));
      map.set(second, toSet(last));
      break;
    }
    default:
      reflected.set(field, toSet(last));
  }
  return reflected.message;
}

/** Two keys of a map; a map with boolean keys has no more. */
function mapKeys(kind: ScalarType): readonly [unknown, unknown] {
  switch (kind) {
    case ScalarType.STRING:
      return ["one", "two"];
    case ScalarType.BOOL:
      return [false, true];
    case ScalarType.INT32:
    case ScalarType.UINT32:
    case ScalarType.SINT32:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return [1, 2];
    default:
      return [1n, 2n];
  }
}

/** A claim's value as reflection takes it: 64 bits are a bigint there, whatever they are in TypeScript. */
function scalarOf(field: DescField, value: ClaimValue): ClaimValue {
  return "longAsString" in field && field.longAsString && typeof value === "string"
    ? BigInt(value)
    : value;
}

/** Whether a field tells an explicit zero from none (protobuf.dev, "Field Presence"). */
function hasExplicitZero(field: DescField): boolean {
  return field.fieldKind === "scalar" && field.presence !== FeatureSet_FieldPresence.IMPLICIT;
}

/** Another value of the same kind, which nobody is likely to have. */
function otherThan(value: ClaimValue): ClaimValue {
  if (value instanceof Uint8Array) {
    return Uint8Array.of(...value, 0);
  }
  switch (typeof value) {
    case "bigint":
      // Within 62 bits, so that signed fields can hold it, and never 0.
      return (value ^ 0x2aaa_aaaa_aaaa_aaaan) & 0x3fff_ffff_ffff_ffffn || 1n;
    case "number":
      return value === 1 ? 2 : 1;
    case "boolean":
      return !value;
    case "string":
      return /^\d+$/.test(value) ? String(BigInt(value) + 1n) : `${value}-another`;
  }
}

function zeroLike(value: ClaimValue): ClaimValue {
  if (value instanceof Uint8Array) {
    return new Uint8Array();
  }
  switch (typeof value) {
    case "bigint":
      return 0n;
    case "number":
      return 0;
    case "boolean":
      return false;
    case "string":
      return "";
  }
}

function isZero(value: ClaimValue): boolean {
  return value instanceof Uint8Array ? value.byteLength === 0 : !value;
}
