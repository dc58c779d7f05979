import type { ClaimRecord } from "../policy/binding.ts";
import type { AnyCredential, ClaimKind, ClaimValue } from "../policy/credential.ts";
import { isRefusal, isStoreUnavailable } from "../policy/verifier.ts";
import type { PresentedValue } from "./decide.ts";

/** What is proved of a caller: the claims, and in `credential`, which is no claim, where they come from. */
export type Caller = ClaimRecord;

/** What a verifier's answer comes to. */
export type Verified =
  | { readonly kind: "proved"; readonly caller: Caller }
  | { readonly kind: "refused"; readonly reason: string; readonly cause?: string | undefined }
  | { readonly kind: "unavailable"; readonly cause: string | undefined };

/** Reads what a verifier has answered. May throw what the answer's own properties throw. */
export type AnswerReader = (answer: unknown, presented: PresentedValue) => Verified;

/**
 * Makes the reader of a credential's answers. Claims that are missing or of
 * another kind refuse: a field that such a claim should bind would otherwise
 * stay what the caller wrote.
 */
export function answerReaderOf(credential: AnyCredential): AnswerReader {
  const { name } = credential;
  const kinds = [...credential.claims].map(([claim, { kind }]) => ({ claim, kind }));
  return (answer, presented) => {
    if (answer === undefined) {
      return { kind: "refused", reason: "unknown" };
    }
    if (isRefusal(answer)) {
      return { kind: "refused", reason: answer.reason };
    }
    if (isStoreUnavailable(answer)) {
      return { kind: "unavailable", cause: describeCause(answer.cause, presented) };
    }
    if (!isClaims(kinds.length, answer)) {
      return { kind: "refused", reason: "the verifier answered with no claims" };
    }
    const caller: Record<string, ClaimValue> = { credential: name };
    for (const { claim, kind } of kinds) {
      const value: unknown = Reflect.get(answer, claim);
      if (!isOfKind(kind, value)) {
        return { kind: "refused", reason: `the verifier's claim ${claim} is no ${kind}` };
      }
      caller[claim] = value;
    }
    return { kind: "proved", caller: Object.freeze(caller) };
  };
}

function isOfKind(kind: ClaimKind, value: unknown): value is ClaimValue {
  return kind === "bytes" ? value instanceof Uint8Array : typeof value === kind;
}

/**
 * Tells whether an answer can be claims. Where a credential proves nothing but
 * itself, only the empty object says yes: any other may be a "no" of a kind
 * that is not known here.
 */
function isClaims(claimCount: number, answer: unknown): answer is object {
  if (typeof answer !== "object" || answer === null) {
    return false;
  }
  return (
    !(answer instanceof Error) &&
    !Array.isArray(answer) &&
    (claimCount > 0 || Object.keys(answer).length === 0)
  );
}

/**
 * What a verifier threw or was told, as text alone: the properties, causes and
 * members of an error can hold anything. Undefined if it is no error, or shows
 * a secret.
 */
export function describeCause(cause: unknown, presented: PresentedValue): string | undefined {
  const secrets =
    typeof presented === "string"
      ? [presented]
      : Object.values(presented).filter((value) => typeof value === "string");
  try {
    if (!(cause instanceof Error)) {
      return undefined;
    }
    const text = cause.stack ?? `${cause.name}: ${cause.message}`;
    return secrets.some((secret) => text.includes(secret)) ? undefined : text;
  } catch {
    return undefined;
  }
}
