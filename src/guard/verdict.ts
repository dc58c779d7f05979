import type { DescMethod } from "@bufbuild/protobuf";
import { type ContextKey, createContextKey } from "@connectrpc/connect";
import type { Binder } from "../policy/binding.ts";
import type { AnyCredential } from "../policy/credential.ts";
import type { Caller } from "./answer.ts";
import type { PresentedValue } from "./decide.ts";

/** What was proved about the caller of a protected RPC. */
export interface Proof {
  readonly credential: AnyCredential;
  readonly caller: Caller;
  readonly presented: PresentedValue;
  readonly binder: Binder | undefined;
}

/**
 * What the gate decided about one call. It is left in the call's context
 * values, and the wrapper around every handler refuses a call without one for
 * exactly its method, so that a gate that never ran cannot allow.
 */
export class Verdict {
  /** The RPC that was decided on. */
  readonly method: DescMethod;
  /** The request's headers: the object is the call's own, and tells it from any other. */
  header: Headers | undefined;
  /** When the credential was last verified, in milliseconds of the guard's clock. */
  verifiedAt: number;
  /** Whether the binding has run: set by the guard's interceptor, asked by its handler wrapper. */
  isBound = false;
  // Private by name, not by type: the proof holds the secret, and an inspected
  // or logged verdict must not show it.
  readonly #proof: Proof | undefined;

  constructor(method: DescMethod, proof: Proof | undefined, verifiedAt: number) {
    this.method = method;
    this.#proof = proof;
    this.verifiedAt = verifiedAt;
  }

  /** What was proved; undefined on an open RPC. */
  get proof(): Proof | undefined {
    return this.#proof;
  }
}

/** Where the gate leaves its verdict. Not exported from the package: nobody else may leave one. */
export const verdictKey: ContextKey<Verdict | undefined> = createContextKey<Verdict | undefined>(
  undefined,
  { description: "countersign: the verdict of the gate" },
);

/**
 * Where a listener leaves the raw header entries of a request, as
 * `[name, value]`, for the gate to count: a `Headers` object has joined what
 * was sent twice.
 */
export const rawHeadersKey: ContextKey<readonly (readonly [string, string])[] | undefined> =
  createContextKey<readonly (readonly [string, string])[] | undefined>(undefined, {
    description: "countersign: raw header entries of the request",
  });
