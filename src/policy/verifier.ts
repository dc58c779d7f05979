import type { DescMethod } from "@bufbuild/protobuf";
import type { AnyCredential, ClaimsOf, Presented } from "./credential.ts";

const refusalMark: unique symbol = Symbol.for("countersign.refusal");
const storeUnavailableMark: unique symbol = Symbol.for("countersign.storeUnavailable");

/**
 * A verifier's "no", with a reason for operators. The reason reaches
 * `onDecision` only: on the wire all refusals are alike.
 */
export interface Refusal {
  readonly [refusalMark]: true;
  /** Why, in a word or two, such as `expired`. Must not contain a secret. */
  readonly reason: string;
}

/**
 * Makes a {@link Refusal}.
 *
 * @throws TypeError if the reason is empty.
 */
export function refusal(reason: string): Refusal {
  if (reason === "") {
    throw new TypeError("a refusal needs a reason");
  }
  return Object.freeze({ [refusalMark]: true as const, reason });
}

/** Tells whether a value was made by {@link refusal}. */
export function isRefusal(value: unknown): value is Refusal {
  return typeof value === "object" && value !== null && refusalMark in value;
}

/**
 * A verifier's "I cannot tell": what it has to ask is out of reach at present.
 * The call is not allowed; its caller gets Unavailable and may try again.
 */
export interface StoreUnavailable {
  readonly [storeUnavailableMark]: true;
  /** What went wrong. Its stack reaches `onDecision`, unless it shows the secret. */
  readonly cause: unknown;
}

/**
 * Makes a {@link StoreUnavailable}. For an outage that passes and lies with the
 * store, not with the caller: a caller who is told so repeats the call.
 *
 * @param cause what the store's driver has thrown, for operators.
 */
export function storeUnavailable(cause?: unknown): StoreUnavailable {
  return Object.freeze({ [storeUnavailableMark]: true as const, cause });
}

/** Tells whether a value was made by {@link storeUnavailable}. */
export function isStoreUnavailable(value: unknown): value is StoreUnavailable {
  return typeof value === "object" && value !== null && storeUnavailableMark in value;
}

/** What a verifier is told about the call, besides the credential. */
export interface VerifyCall {
  /** Descriptor of the RPC; of a call that is probed for (`isProbe`), of one that wants the credential. */
  readonly method: DescMethod;
  /** Aborted when the call ends, its deadline passes, or the time for the answer is over. Made when it is read. */
  readonly signal: AbortSignal;
  /** How long the guard waits for the answer, in ms. */
  readonly timeoutMs: number;
  /**
   * Whether the guard asks about a call again, whose credential it has verified
   * before: the body took long, or a stream goes on. What counts at the start of
   * a call only (how old a signature is, that it was not seen before) must not
   * refuse then; what can be withdrawn must.
   */
  readonly isRecheck: boolean;
  /**
   * Whether the call is refused whatever the answer: its RPC does not exist, or
   * wants another credential. The guard asks because a caller must not learn
   * which RPCs exist from where {@link storeUnavailable} is answered; no other
   * answer counts. A verifier must do here as for a call that wants the
   * credential, but leave no trace: a nonce is not spent.
   */
  readonly isProbe: boolean;
}

/**
 * Turns a presented credential into claims, or refuses: with
 * {@link refusal}, with `undefined` (unknown), or by throwing. A verifier that
 * takes longer than the call's deadline or the guard's cap refuses too. Where
 * it cannot tell because its store is down, it says so with
 * {@link storeUnavailable}, within the time it has.
 *
 * A verifier that answers at once, and not with a promise, costs the guard least.
 */
export type Verifier<C extends AnyCredential> = (
  presented: Presented<C>,
  call: VerifyCall,
) => Verification<C> | Promise<Verification<C>>;

/** What a verifier answers. */
export type Verification<C extends AnyCredential> =
  | ClaimsOf<C>
  | Refusal
  | StoreUnavailable
  | undefined;
