import { type DescField, isFieldSet, type Message, ScalarType } from "@bufbuild/protobuf";
import type { ClaimKind, ClaimValue } from "./credential.ts";

/** The kind of claim that a field's values can hold; undefined for messages and enums. */
export function kindOf(field: DescField): ClaimKind | undefined {
  if (field.scalar === undefined) {
    return undefined;
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return "string";
    case ScalarType.BYTES:
      return "bytes";
    case ScalarType.BOOL:
      return "boolean";
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return "longAsString" in field && field.longAsString ? "string" : "bigint";
    default:
      return "number";
  }
}

/** Every value that a message holds in a field. What is unset has none. */
export function valuesOf(message: Message, field: DescField): readonly unknown[] {
  // With implicit presence the zero value is "unset"; with explicit presence
  // and in a oneof only absence is (protobuf.dev, "Field Presence").
  if (!isFieldSet(message, field)) {
    return [];
  }
  if (field.oneof !== undefined) {
    return [recordIn(propertiesOf(message)[field.oneof.localName]).value];
  }
  const value = propertiesOf(message)[field.localName];
  switch (field.fieldKind) {
    case "list":
    case "map":
      return Object.values(recordIn(value));
    default:
      return [value];
  }
}

/** Writes one value into every place that a field has in a message. */
export function write(message: Message, field: DescField, value: ClaimValue): void {
  const properties = propertiesOf(message);
  if (field.oneof !== undefined) {
    if (isFieldSet(message, field)) {
      properties[field.oneof.localName] = { case: field.localName, value };
    }
    return;
  }
  const current = properties[field.localName];
  switch (field.fieldKind) {
    case "list":
    case "map": {
      const values = recordIn(current);
      for (const key of Object.keys(values)) {
        values[key] = value;
      }
      return;
    }
    default:
      properties[field.localName] = value;
  }
}

/** Tells whether a field's value is the verified one; of secrets in a time that does not depend on them. */
export function equals(value: unknown, verified: ClaimValue, isSecret: boolean): boolean {
  if (value instanceof Uint8Array) {
    return verified instanceof Uint8Array && sameBytes(value, verified);
  }
  if (isSecret && typeof value === "string" && typeof verified === "string") {
    return sameSecret(value, verified);
  }
  return value === verified;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Compares in a time that depends on the lengths only, which are no secret. */
function sameSecret(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) {
    difference |= a.charCodeAt(i) ^ b.charCodeAt(i % b.length);
  }
  return difference === 0;
}

function recordIn(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? propertiesOf(value) : {};
}

/**
 * The properties of an object, by name. The one cast of this file: descriptors
 * name the properties of generated messages at run time, types do not.
 */
function propertiesOf(object: object): Record<string, unknown> {
  return object as Record<string, unknown>;
}
