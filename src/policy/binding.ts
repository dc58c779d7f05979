import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { equals, kindOf, valuesOf, write } from "./bound-field.ts";
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

/** Binds some of the fields of one message type. */
type Step = Binder;

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
  const own = steps.get(input) ?? [];
  return (message, claims, secret) => run(own, message, claims, secret);
}

/** Names of the fields that a credential says it binds; those that a claim binds by its own name are not said. */
export function namedFieldsOf(credential: AnyCredential): ReadonlySet<string> {
  const named = new Set<string>();
  if (credential.secretField !== undefined) {
    named.add(credential.secretField);
  }
  for (const [claim, { binds }] of credential.claims) {
    for (const field of binds) {
      if (field !== claim) {
        named.add(field);
      }
    }
  }
  return named;
}

/** Tells whether a message type has a field of a name, or reaches one. */
export function reachesField(input: DescMessage, localName: string): boolean {
  for (const desc of reachableMessages(input)) {
    if (desc.fields.some((field) => field.localName === localName)) {
      return true;
    }
  }
  return false;
}

/**
 * Returns the path of the first `google.protobuf.Any`, or message with
 * extensions, that a message type reaches; undefined if there is none.
 */
export function findAny(input: DescMessage): string | undefined {
  if (isAny(input)) {
    return input.typeName;
  }
  for (const desc of [input, ...reachableMessages(input)]) {
    for (const field of desc.fields) {
      const child = childOf(field);
      if (child !== undefined && isAny(child)) {
        return `${field.parent.typeName}.${field.name}`;
      }
    }
  }
  return undefined;
}

/** Tells whether a message can carry what its schema does not describe: an Any, or extensions. */
function isAny(desc: DescMessage): boolean {
  return desc.typeName === "google.protobuf.Any" || desc.proto.extensionRange.length > 0;
}

/** The message type of a field's values, if they are messages. */
function childOf(field: DescField): DescMessage | undefined {
  return field.message;
}

/** Tells whether the binding looks for bound fields in a message type. */
export function isSearched(desc: DescMessage): boolean {
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
    // The likeliest slip, and one that would bind nothing and say nothing.
    if (sources.has(field.name)) {
      throw new TypeError(
        `${where}: credential "${credential.name}" binds "${field.name}": name the field as in TypeScript, "${field.localName}"`,
      );
    }
    return false;
  }
  const kind = kindOf(field);
  if (kind !== source.kind) {
    const what = source.from === "secret" ? "the secret" : `claim "${source.claim}"`;
    throw new TypeError(
      `${where}: field ${field.parent.typeName}.${field.name} is ${kind === undefined ? "no plain value" : `a ${kind}`}, ` +
        `but ${what} of credential "${credential.name}" is a ${source.kind}`,
    );
  }
  return true;
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
      made.push((message, claims, secret) => {
        for (const value of valuesOf(message, field)) {
          const mismatch = run(steps.get(child) ?? [], messageIn(value), claims, secret);
          if (mismatch !== undefined) {
            return mismatch;
          }
        }
        return undefined;
      });
    }
  }
  return made;
}

/** Returns the first mismatch. */
function run(
  steps: readonly Step[],
  message: Message,
  claims: ClaimRecord,
  secret: string | undefined,
): DescField | undefined {
  for (const step of steps) {
    const mismatch = step(message, claims, secret);
    if (mismatch !== undefined) {
      return mismatch;
    }
  }
  return undefined;
}

function bindValues(field: DescField, source: Source): Step {
  return (message, claims, secret) => {
    const isSecret = source.from === "secret";
    const value = source.from === "secret" ? secret : claims[source.claim];
    // A verifier that forgot a claim must not leave a field unbound.
    if (value === undefined) {
      return field;
    }
    for (const claimed of valuesOf(message, field)) {
      if (!equals(claimed, value, isSecret)) {
        return field;
      }
    }
    write(message, field, isSecret ? "" : value);
    return undefined;
  };
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
