import {
  type DescField,
  type DescMessage,
  isFieldSet,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import type { AnyCredential, ClaimKind, ClaimValue } from "./credential.ts";

/** Claims by name, as a verifier proved them. */
export type ClaimRecord = Readonly<Record<string, ClaimValue>>;

/**
 * Binds one decoded request: compares every field that names a claim with the
 * verified value, then writes the verified value into it. Secrets are compared
 * and emptied.
 *
 * @returns undefined, or the first field that names something else. The message
 * may then be partly written; it must not be used.
 */
export type Binder = (
  message: Message,
  claims: ClaimRecord,
  secret: string | undefined,
) => DescField | undefined;

/** Where a bound field's verified value comes from. */
type Source =
  | { readonly from: "claim"; readonly claim: string; readonly kind: ClaimKind }
  | { readonly from: "secret"; readonly kind: "string" };

interface Bound {
  readonly value: ClaimValue | undefined;
  readonly isSecret: boolean;
}

type Lookup = (source: Source) => Bound;
type Step = (message: Message, lookup: Lookup) => DescField | undefined;

/** Messages that are not searched: what they carry is not described by a schema. */
const opaqueTypes: ReadonlySet<string> = new Set([
  "google.protobuf.Any",
  "google.protobuf.Struct",
  "google.protobuf.Value",
  "google.protobuf.ListValue",
]);

/**
 * Compiles the binding of a credential to a request type. Every bound field
 * that can be reached is covered: singular, repeated, in maps, in oneofs and in
 * nested messages, recursive ones included.
 *
 * @param where begins the message of an error: which RPC of which policy.
 * @returns undefined if the request has no bound field.
 * @throws TypeError if a field has a bound name but not the claim's type.
 */
export function compileBinder(
  credential: AnyCredential,
  input: DescMessage,
  where: string,
): Binder | undefined {
  const sources = new Map<string, Source>();
  if (credential.secretField !== undefined) {
    sources.set(credential.secretField, { from: "secret", kind: "string" });
  }
  for (const [claim, { kind, binds }] of credential.claims) {
    for (const field of binds) {
      sources.set(field, { from: "claim", claim, kind });
    }
  }
  const reached = reachableMessages(input);
  const bound = new Set<DescMessage>();
  for (const desc of reached) {
    for (const field of desc.fields) {
      if (assertBindable(field, sources, credential, where)) {
        bound.add(desc);
      }
    }
  }
  spreadToParents(reached, bound);
  if (!bound.has(input)) {
    return undefined;
  }
  const steps = new Map<DescMessage, readonly Step[]>();
  for (const desc of bound) {
    steps.set(desc, stepsOf(desc, sources, bound, steps));
  }
  return (message, claims, secret) =>
    run(steps, input, message, (source) =>
      source.from === "secret"
        ? { value: secret, isSecret: true }
        : { value: claims[source.claim], isSecret: false },
    );
}

/** Returns the path of the first `google.protobuf.Any` that a message type reaches, or undefined. */
export function findAny(input: DescMessage): string | undefined {
  for (const desc of [input, ...reachableMessages(input)]) {
    for (const field of desc.fields) {
      if (childOf(field)?.typeName === "google.protobuf.Any") {
        return `${field.parent.typeName}.${field.name}`;
      }
    }
  }
  return undefined;
}

/** The message type of a field's values, if they are messages. */
function childOf(field: DescField): DescMessage | undefined {
  return field.message;
}

function isSearched(desc: DescMessage): boolean {
  return !opaqueTypes.has(desc.typeName) && !isWrapperDesc(desc);
}

function reachableMessages(input: DescMessage): Set<DescMessage> {
  const reached = new Set<DescMessage>([input]);
  for (const desc of reached) {
    for (const field of desc.fields) {
      const child = childOf(field);
      if (child !== undefined && isSearched(child)) {
        reached.add(child);
      }
    }
  }
  return reached;
}

/** Adds every message type from which a bound one is reached. */
function spreadToParents(reached: ReadonlySet<DescMessage>, bound: Set<DescMessage>): void {
  for (let grew = true; grew; ) {
    grew = false;
    for (const desc of reached) {
      if (!bound.has(desc) && desc.fields.some((field) => has(bound, childOf(field)))) {
        bound.add(desc);
        grew = true;
      }
    }
  }
}

function has(set: ReadonlySet<DescMessage>, desc: DescMessage | undefined): desc is DescMessage {
  return desc !== undefined && set.has(desc);
}

/** Tells whether a field is bound, and throws if it has a bound name but another type. */
function assertBindable(
  field: DescField,
  sources: ReadonlyMap<string, Source>,
  credential: AnyCredential,
  where: string,
): boolean {
  const source = sources.get(field.localName);
  if (source === undefined) {
    return false;
  }
  const kind = kindOf(field);
  if (kind !== source.kind) {
    const what = source.from === "secret" ? "its secret" : `claim "${source.claim}"`;
    throw new TypeError(
      `${where}: field ${field.parent.typeName}.${field.name} is ${kind === undefined ? "no plain value" : `a ${kind}`}, ` +
        `but ${what} of credential "${credential.name}" is a ${source.kind}`,
    );
  }
  return true;
}

/** The kind of claim that a field's values can hold; undefined for messages and enums. */
function kindOf(field: DescField): ClaimKind | undefined {
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

function stepsOf(
  desc: DescMessage,
  sources: ReadonlyMap<string, Source>,
  bound: ReadonlySet<DescMessage>,
  steps: ReadonlyMap<DescMessage, readonly Step[]>,
): Step[] {
  const made: Step[] = [];
  for (const field of desc.fields) {
    const source = sources.get(field.localName);
    const child = childOf(field);
    if (source !== undefined) {
      made.push(bindValues(field, source));
    } else if (has(bound, child)) {
      made.push((message, lookup) =>
        firstMismatch(valuesOf(message, field), (value) =>
          run(steps, child, messageIn(value), lookup),
        ),
      );
    }
  }
  return made;
}

function run(
  steps: ReadonlyMap<DescMessage, readonly Step[]>,
  desc: DescMessage,
  message: Message,
  lookup: Lookup,
): DescField | undefined {
  return firstMismatch(steps.get(desc) ?? [], (step) => step(message, lookup));
}

function firstMismatch<T>(
  items: readonly T[],
  check: (item: T) => DescField | undefined,
): DescField | undefined {
  for (const item of items) {
    const mismatch = check(item);
    if (mismatch !== undefined) {
      return mismatch;
    }
  }
  return undefined;
}

function bindValues(field: DescField, source: Source): Step {
  return (message, lookup) => {
    const bound = lookup(source);
    // A verifier that forgot a claim must not leave a field unbound.
    if (
      bound.value === undefined ||
      !valuesOf(message, field).every((value) => equals(value, bound))
    ) {
      return field;
    }
    write(message, field, bound.isSecret ? "" : bound.value);
    return undefined;
  };
}

/** Every value that a message holds in a field. What is unset has none. */
function valuesOf(message: Message, field: DescField): readonly unknown[] {
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
      return Array.isArray(value) ? value : [];
    case "map":
      return Object.values(recordIn(value));
    default:
      return [value];
  }
}

/** Writes one value into every place that a field has in a message. */
function write(message: Message, field: DescField, value: ClaimValue): void {
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
      if (Array.isArray(current)) {
        current.fill(value);
      }
      return;
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

function equals(value: unknown, bound: Bound): boolean {
  if (value instanceof Uint8Array) {
    return bound.value instanceof Uint8Array && sameBytes(value, bound.value);
  }
  if (bound.isSecret && typeof value === "string" && typeof bound.value === "string") {
    return sameSecret(value, bound.value);
  }
  return value === bound.value;
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

function messageIn(value: unknown): Message {
  if (isMessageLike(value)) {
    return value;
  }
  throw new TypeError("a message field holds something else");
}

function isMessageLike(value: unknown): value is Message {
  return typeof value === "object" && value !== null && "$typeName" in value;
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
