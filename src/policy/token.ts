import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

declare const tokenBrand: unique symbol;
declare const tokenDigestBrand: unique symbol;

/**
 * A secret that a caller presents: a non-empty string of visible ASCII
 * characters without commas. Only {@link parseToken} makes one, so code that
 * takes a `Token` needs no check of its own.
 */
export type Token = string & { readonly [tokenBrand]: "a token is made by parseToken(...)" };

/**
 * The SHA-256 of a token, as 64 lower-case hexadecimal characters. Tokens are
 * stored, found and passed around by it, so that no comparison and no log
 * depends on the secret.
 */
export type TokenDigest = string & { readonly [tokenDigestBrand]: "SHA-256 of a token" };

/** The longest token that {@link parseToken} accepts, in characters. */
export const maxTokenLength = 4096;

/**
 * Visible ASCII without the comma: HTTP joins repeated headers with ", ", so a
 * comma or a blank in a token would let two values pass for one
 * (RFC 9110, section 5.3).
 */
const tokenPattern = /^[!-+\--~]+$/;

/** Tells whether a string is a well-formed token. */
export function isToken(value: string): value is Token {
  return value.length <= maxTokenLength && tokenPattern.test(value);
}

/**
 * Turns a string into a {@link Token}.
 *
 * @throws TypeError if the value is empty, longer than {@link maxTokenLength}
 * characters, or has a character that is not visible ASCII or is a comma. The
 * message never shows the value.
 */
export function parseToken(value: string): Token {
  if (typeof value !== "string") {
    throw new TypeError(`a token must be a string, not ${value === null ? "null" : typeof value}`);
  }
  if (value === "") {
    throw new TypeError("a token must not be empty");
  }
  if (value.length > maxTokenLength) {
    throw new TypeError(`a token must not be longer than ${maxTokenLength} characters`);
  }
  if (!isToken(value)) {
    throw new TypeError("a token must consist of visible ASCII characters without commas");
  }
  return value;
}

/** Returns the digest of a token. */
export function digestToken(token: Token): TokenDigest {
  return asTokenDigest(bytesToHex(sha256(utf8ToBytes(token))));
}

/**
 * Takes the hexadecimal SHA-256 of a token for what it is: the one place where a
 * digest gets its brand. For those who hash by other means.
 */
export function asTokenDigest(hexadecimal: string): TokenDigest {
  return hexadecimal as TokenDigest;
}
