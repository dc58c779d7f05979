import { type Refusal, refusal } from "../../policy/verifier.ts";
import type { PublicKey } from "./public-key.ts";
import { isSignatureOf } from "./signature.ts";
import { isFresh, parseTimestamp } from "./timestamp.ts";

/** A signature that came with a call, and what it has to be. */
export interface SignedCall {
  readonly publicKey: PublicKey;
  readonly signature: Uint8Array;
  readonly timestamp: string;
  /** What must have been signed; holds the timestamp. */
  readonly signedText: string;
  /** How far clocks may differ, in seconds. */
  readonly toleranceSeconds: number;
  /** See `VerifyCall`: a call that began in time may go on. */
  readonly isRecheck: boolean;
  /** The clock, in milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * Checks a call's signature and its age; the age first, which costs nothing.
 *
 * @returns why it is refused, or when it was signed, in milliseconds since the epoch
 */
export async function checkSignature(call: SignedCall): Promise<Refusal | number> {
  const instant = parseTimestamp(call.timestamp);
  if (instant === undefined) {
    return refusal("the timestamp is no time with an offset");
  }
  if (!call.isRecheck && !isFresh(instant, call.now(), call.toleranceSeconds)) {
    return refusal("the signature is not fresh");
  }
  return (await isSignatureOf(call.signedText, call.signature, call.publicKey.key))
    ? instant
    : refusal("the signature is wrong");
}
