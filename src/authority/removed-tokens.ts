import type { TokenDigest } from "../policy/token.ts";
import type { Refusal } from "../policy/verifier.ts";

/**
 * Why the tokens that this process removed last are gone, for operators only:
 * a removed token is refused with or without a reason.
 */
export interface RemovedTokens {
  /** Notes the reason, forgetting the oldest one when there are too many. */
  note(digest: TokenDigest, reason: Refusal): void;
  /** Finds the reason. */
  find(digest: TokenDigest): Refusal | undefined;
}

/** Creates an empty memory of at most `limit` tokens. */
export function createRemovedTokens(limit: number): RemovedTokens {
  const reasons = new Map<TokenDigest, Refusal>();
  return {
    note(digest, reason) {
      reasons.set(digest, reason);
      // A Map iterates in the order of insertion: the first key is the oldest.
      for (const oldest of reasons.keys()) {
        if (reasons.size <= limit) {
          break;
        }
        reasons.delete(oldest);
      }
    },
    find: (digest) => reasons.get(digest),
  };
}
