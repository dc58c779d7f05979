import type { DescMethod } from "@bufbuild/protobuf";
import type { AnyCredential, ClaimsOf, Presented } from "./credential.ts";

const refusalMark: unique symbol = Symbol.for("countersign.refusal");

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

/** What a verifier is told about the call, besides the credential. */
export interface VerifyCall {
  /** Descriptor of the RPC. */
  readonly method: DescMethod;
  /** Aborted when the call ends or its deadline passes. */
  readonly signal: AbortSignal;
  /**
   * Whether the guard asks about a call again, whose credential it has verified
   * before: the body took long, or a stream goes on. What counts at the start of
   * a call only (how old a signature is, that it was not seen before) must not
   * refuse then; what can be withdrawn must.
   */
  readonly isRecheck: boolean;
}

/**
 * Turns a presented credential into claims, or refuses: with
 * {@link refusal}, with `undefined` (unknown), or by throwing. A verifier that
 * takes longer than the call's deadline or the guard's cap refuses too.
 */
export type Verifier<C extends AnyCredential> = (
  presented: Presented<C>,
  call: VerifyCall,
) => Verification<C> | Promise<Verification<C>>;

/** What a verifier answers. */
export type Verification<C extends AnyCredential> = ClaimsOf<C> | Refusal | undefined;
