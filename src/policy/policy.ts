import type { DescMessage, DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import { type Binder, compileBinder, findAny, namedFieldsOf, reachesField } from "./binding.ts";
import type { AnyCredential, BoundFieldsOf, ClaimsOf, ClaimValue } from "./credential.ts";
import { isRule, type OpenRule, type ProtectedRule, type Rule } from "./rule.ts";

/** The rules of a service: exactly one per RPC, keyed by the RPC's name in TypeScript. */
export type RulesOf<D extends DescService> = { readonly [K in keyof D["method"]]: Rule };

/**
 * A service descriptor with exactly one rule per RPC. Made by
 * {@link definePolicy}; leave its type to inference, an annotation would lose
 * the rules.
 */
export interface Policy<D extends DescService = DescService, R = unknown> {
  /** The service that is classified. */
  readonly service: D;
  /** The table. */
  readonly rules: R;
  /**
   * Returns the rule of an RPC, or undefined if the RPC is not one of this
   * service's.
   */
  ruleOf(method: DescMethod): Rule | undefined;
  /** Returns how a credential binds the requests of an RPC; undefined where nothing is bound. */
  binderOf(method: DescMethod, credential: AnyCredential): Binder | undefined;
}

/** Any policy. */
export type AnyPolicy = Policy;

type MethodKey<P extends AnyPolicy> = keyof P["service"]["method"] & keyof P["rules"];

/** The rule of one RPC of a policy. */
export type RuleOf<P extends AnyPolicy, K extends MethodKey<P>> = P["rules"][K] & Rule;

/** Names of the open RPCs of a policy. */
export type OpenMethodOf<P extends AnyPolicy> = {
  [K in MethodKey<P>]: P["rules"][K] extends OpenRule ? K : never;
}[MethodKey<P>];

/** Names of the protected RPCs of a policy. */
export type ProtectedMethodOf<P extends AnyPolicy> = Exclude<MethodKey<P>, OpenMethodOf<P>>;

/** Every credential that some rule of a policy requires, as a union. */
export type CredentialOf<P extends AnyPolicy> = CredentialOfRule<P["rules"][MethodKey<P>]>;

/** The credentials of a rule, as a union; never for an open one. */
export type CredentialOfRule<R> = R extends ProtectedRule<infer C> ? C[number] : never;

/**
 * What the guard proved about the caller of a protected RPC: the claims of the
 * credential, and its name in `credential`. With `anyOf` it is a union to be
 * told apart by `credential`.
 */
export type CallerOf<C extends AnyCredential> = C extends AnyCredential
  ? { readonly credential: C["name"] } & ClaimsOf<C>
  : never;

/** Fields that every one of the credentials binds: `anyOf` takes away only what all of them prove. */
type BoundByAll<C extends readonly AnyCredential[]> = C extends readonly [
  infer First extends AnyCredential,
  ...infer Rest extends readonly AnyCredential[],
]
  ? Rest extends readonly []
    ? BoundFieldsOf<First>
    : BoundFieldsOf<First> & BoundByAll<Rest>
  : never;

/** Top-level fields of a request that a rule's claims take the place of. */
type WithoutBound<Shape, Bound> = {
  [K in keyof Shape as K extends Bound
    ? Exclude<Shape[K], undefined> extends ClaimValue
      ? never
      : K
    : K]: Shape[K];
};

/** The request message that a handler sees under a rule. */
export type RequestUnder<R, M extends DescMethod> =
  R extends ProtectedRule<infer C, infer Unbound>
    ? Unbound extends true
      ? MessageShape<M["input"]>
      : WithoutBound<MessageShape<M["input"]>, BoundByAll<C>>
    : MessageShape<M["input"]>;

/**
 * The request message that the handler of an RPC sees: without the top-level
 * fields that the credential proves, for those are read from the caller. The
 * type keeps nested, repeated and oneof fields; the guard has written the
 * verified value into them.
 *
 * ```ts
 * function nodes(request: RequestOf<typeof serverAppIoPolicy, "getNodes">) { ... }
 * ```
 */
export type RequestOf<P extends AnyPolicy, K extends MethodKey<P>> = RequestUnder<
  P["rules"][K],
  P["service"]["method"][K]
>;

type IsUnion<T, U = T> = [T] extends [never]
  ? false
  : T extends U
    ? [U] extends [T]
      ? false
      : true
    : never;
type IsAny<T> = 0 extends 1 & T ? true : false;

/** A type that nothing has; the compiler prints the sentence where one is expected. */
export interface Fault<Sentence extends string> {
  readonly fault: Sentence;
}

/** RPCs of the service that the table misses. */
type Missing<D extends DescService, R> = Exclude<keyof D["method"], keyof R> & string;

/** RPCs whose rule the compiler does not know. */
type Undecided<R> = {
  [K in keyof R]: IsAny<R[K]> extends true
    ? K
    : [R[K]] extends [Rule]
      ? IsDecided<R[K]> extends true
        ? never
        : K
      : never;
}[keyof R] &
  string;

/** Whether the compiler knows which rule it is, which credentials it has, and whether they bind. */
type IsDecided<R> =
  IsUnion<R> extends true
    ? false
    : R extends ProtectedRule<infer C, infer Unbound>
      ? number extends C["length"]
        ? false
        : boolean extends Unbound
          ? false
          : true extends { [I in keyof C]: IsUnion<C[I]> }[number]
            ? false
            : true
      : true;

/**
 * Classifies every RPC of a service. A table that misses an RPC, names one that
 * does not exist, or gives it something that is no rule does not compile.
 *
 * @throws TypeError for what only `any` can smuggle past the compiler (a
 * missing, unknown or forged rule); a field that a credential binds and whose
 * type is not the claim's; a field that a credential names and no request has;
 * a protected RPC whose request reaches a `google.protobuf.Any` without saying
 * so; two credentials of one name.
 */
export function definePolicy<D extends DescService, R extends object>(
  service: D &
    (string extends keyof D["method"]
      ? "definePolicy needs a generated service: the methods of a plain DescService are not known"
      : unknown),
  // A conditional, so that the compiler prints the sentence in place of the whole table.
  rules: [Missing<D, R>] extends [never]
    ? [Undecided<R>] extends [never]
      ? R & {
          readonly [K in Exclude<
            keyof R,
            keyof D["method"]
          >]: Fault<`the service has no RPC ${K & string}`>;
        } & {
          readonly [K in keyof R]: R[K] extends Rule
            ? unknown
            : Fault<`${K & string} needs a rule: open, requires(...) or anyOf(...)`>;
        }
      : `the rule of ${Undecided<R>} is decided at run time: write two policies`
    : `${Missing<D, R>} needs a rule: open, requires(...) or anyOf(...)`,
): Policy<D, R>;
export function definePolicy<D extends DescService, R extends object>(
  service: D,
  rules: R,
): Policy<D, R> {
  const table = new Map<DescMethod, Rule>();
  const binders = new Map<DescMethod, Map<AnyCredential, Binder>>();
  const given = new Map<string, unknown>(Object.entries(rules));
  const byName = new Map<string, AnyCredential>();
  const where = `the policy of ${service.typeName}`;
  for (const method of service.methods) {
    const rule = given.get(method.localName);
    if (!given.delete(method.localName) || !isRule(rule)) {
      throw new TypeError(
        `${where}: ${method.localName} needs a rule: open, requires(...) or anyOf(...)`,
      );
    }
    table.set(method, rule);
    if (rule.kind === "protected") {
      for (const credential of rule.credentials) {
        const known = byName.get(credential.name) ?? credential;
        if (known !== credential) {
          throw new TypeError(`${where} has two credentials of the name "${credential.name}"`);
        }
        byName.set(credential.name, credential);
      }
      binders.set(method, compileBinders(where, method, rule));
    }
  }
  for (const name of given.keys()) {
    throw new TypeError(`${where}: the service has no RPC ${name}`);
  }
  for (const credential of byName.values()) {
    assertBindsSomething(where, credential, table);
  }
  return Object.freeze({
    service,
    rules: Object.freeze(rules),
    ruleOf: (method: DescMethod) => table.get(method),
    binderOf: (method: DescMethod, credential: AnyCredential) =>
      binders.get(method)?.get(credential),
  });
}

/**
 * A field that a credential names must be there to be bound: a misspelt one
 * would leave every request as its caller wrote it, and nobody would know.
 */
function assertBindsSomething(
  where: string,
  credential: AnyCredential,
  table: ReadonlyMap<DescMethod, Rule>,
): void {
  const inputs: DescMessage[] = [];
  for (const [{ input }, rule] of table) {
    if (rule.kind !== "protected" || !rule.credentials.includes(credential)) {
      continue;
    }
    if (rule.reasons.lacksField !== undefined) {
      return;
    }
    if (!rule.isUnbound) {
      inputs.push(input);
    }
  }
  for (const field of inputs.length === 0 ? [] : namedFieldsOf(credential)) {
    if (!inputs.some((input) => reachesField(input, field))) {
      throw new TypeError(
        `${where}: credential "${credential.name}" names the field "${field}", which no request of an RPC that takes it has; ` +
          `if that is right, give one of the rules a "lacksField" reason`,
      );
    }
  }
}

function compileBinders(
  where: string,
  method: DescMethod,
  rule: ProtectedRule,
): Map<AnyCredential, Binder> {
  const binders = new Map<AnyCredential, Binder>();
  if (rule.isUnbound) {
    return binders;
  }
  const any = findAny(method.input);
  if (any !== undefined && rule.reasons.reachesAny === undefined) {
    throw new TypeError(
      `${where}: the request of ${method.localName} reaches a google.protobuf.Any through ${any}, ` +
        `in which claims cannot be found: give the rule a "reachesAny" reason`,
    );
  }
  for (const credential of rule.credentials) {
    const binder = compileBinder(credential, method.input, `${where}: ${method.localName}`);
    if (binder !== undefined) {
      binders.set(credential, binder);
    }
  }
  return binders;
}
