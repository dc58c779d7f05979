import type { AnyCredential } from "./credential.ts";

const ruleMark: unique symbol = Symbol.for("countersign.rule");

/** The rule of an RPC that anybody may call. */
export interface OpenRule {
  readonly [ruleMark]: true;
  readonly kind: "open";
}

/** The rule of an RPC that requires a credential: exactly one of those it lists. */
export interface ProtectedRule<
  C extends readonly AnyCredential[] = readonly AnyCredential[],
  Unbound extends boolean = boolean,
> {
  readonly [ruleMark]: true;
  readonly kind: "protected";
  /** The credentials, one of which a caller must present, and no other. */
  readonly credentials: C;
  /** Whether the claims leave the request's fields alone. */
  readonly isUnbound: Unbound;
  /** The reasons given in {@link RuleOptions}. */
  readonly reasons: RuleOptions;
}

/** How one RPC is classified: made by {@link open}, {@link requires} and {@link anyOf}. */
export type Rule = OpenRule | ProtectedRule;

/** Exceptions to the rule, each with its reason; an empty reason is refused. */
export interface RuleOptions {
  /**
   * Leaves the fields of this RPC's requests alone: the handler sees what the
   * caller claims. The reason says why that is safe.
   */
  readonly unbound?: string;
  /**
   * Needed when the request reaches a `google.protobuf.Any`, in which claims
   * cannot be found. The reason says why that is safe.
   */
  readonly reachesAny?: string;
  /**
   * Needed on one rule of a policy whose requests all lack a field that the
   * credential names (its `secretField`, or one in `binds`): it would bind
   * nothing there. The reason says why that is so, such as that another service
   * has the field.
   */
  readonly lacksField?: string;
}

type NoOptions = Record<never, never>;
/** `boolean` where the compiler cannot tell: definePolicy refuses such a rule. */
type IsUnbound<O extends RuleOptions> = O extends { readonly unbound: string }
  ? true
  : "unbound" extends keyof O
    ? boolean
    : false;

/** Every rule that was made here: a copy or a look-alike is none. */
const made = new WeakSet<object>();

/** Classifies an RPC as open: anybody may call it, and a credential is not looked at. */
export const open: OpenRule = Object.freeze({ [ruleMark]: true as const, kind: "open" as const });
made.add(open);

/**
 * Classifies an RPC as protected: callers must present the credential.
 *
 * @throws TypeError if the credential is missing or a reason is empty.
 */
export function requires<C extends AnyCredential, const O extends RuleOptions = NoOptions>(
  credential: C,
  options?: O,
): ProtectedRule<readonly [C], IsUnbound<O>> {
  return protect("requires", [credential], options);
}

/**
 * Classifies an RPC as protected by several credentials: callers must present
 * exactly one of them. In the handler, `caller.credential` names which.
 *
 * @throws TypeError if there are fewer than two credentials, two have the same
 * name or share a header, or a reason is empty.
 */
export function anyOf<
  const C extends readonly [AnyCredential, AnyCredential, ...AnyCredential[]],
  const O extends RuleOptions = NoOptions,
>(credentials: C, options?: O): ProtectedRule<C, IsUnbound<O>> {
  if (!Array.isArray(credentials) || credentials.length < 2) {
    throw new TypeError("anyOf needs at least two credentials");
  }
  if (new Set(credentials.map(({ name }) => name)).size !== credentials.length) {
    throw new TypeError("anyOf was given two credentials of one name");
  }
  const headers = credentials.flatMap(({ headers }) => headers);
  if (new Set(headers).size !== headers.length) {
    throw new TypeError("anyOf was given two credentials that share a header");
  }
  Object.freeze(credentials);
  return protect("anyOf", credentials, options);
}

function protect<const C extends readonly AnyCredential[], const O extends RuleOptions>(
  maker: string,
  credentials: C,
  options: O | undefined,
): ProtectedRule<C, IsUnbound<O>> {
  for (const credential of credentials) {
    if (typeof credential?.name !== "string" || !(credential.claims instanceof Map)) {
      throw new TypeError(`${maker} needs a credential made by credential(...)`);
    }
  }
  for (const option of ["unbound", "reachesAny", "lacksField"] as const) {
    const reason: unknown = options?.[option];
    if (reason !== undefined && (typeof reason !== "string" || reason.trim() === "")) {
      throw new TypeError(`${maker}: "${option}" must be a reason in words`);
    }
  }
  const isUnbound = options?.unbound !== undefined;
  const rule = Object.freeze({
    [ruleMark]: true as const,
    kind: "protected" as const,
    credentials,
    // The one cast of this file: TypeScript does not connect the test above
    // with the conditional type of the same condition.
    isUnbound: isUnbound as IsUnbound<O>,
    reasons: Object.freeze({ ...options }),
  });
  made.add(rule);
  return rule;
}

/** Tells whether a value was made by {@link open}, {@link requires} or {@link anyOf}. */
export function isRule(value: unknown): value is Rule {
  return typeof value === "object" && value !== null && made.has(value);
}
