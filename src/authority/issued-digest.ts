import { hash } from "node:crypto";
import { asTokenDigest, type TokenDigest } from "../policy/token.ts";

/** Length of a token that an authority issues, in characters. */
export const issuedTokenLength = 256;

/**
 * Returns the digest of what may be a token of an authority; undefined if it
 * cannot be one. The same as `digestToken`, which runs in browsers too, in a
 * fifth of its time: it is the dearest part of a verification.
 */
export function digestOfIssued(presented: string): TokenDigest | undefined {
  // Its characters are not looked at: what is no token is not found either.
  return presented.length === issuedTokenLength
    ? asTokenDigest(hash("sha256", presented, "hex"))
    : undefined;
}
