import type { TokenDigest } from "../policy/token.ts";
import type { TokenRecord } from "./token-table.ts";

/**
 * Tokens that a shared database has proved good a short while ago. What another
 * process did to them since is not known here; what this one did is.
 */
export interface RecentTokens {
  /** Finds a token that was proved good at most the allowed time ago, and has not ended since. */
  find(digest: TokenDigest): TokenRecord | undefined;
  /**
   * Notes when the database is asked for a token; call the result with its
   * answer. It is not kept if this process has forgotten any token meanwhile.
   */
  asking(): (record: TokenRecord & { readonly remainingMs: number }) => void;
  /** Forgets a token at once. */
  forget(digest: TokenDigest): void;
}

/** How many tokens are kept; beyond that the oldest proof goes. */
const maxTokens = 10_000;

/** Creates an empty memory of proofs that are at most `staleMs` old; `now` is a clock for durations. */
export function createRecentTokens(staleMs: number, now = () => performance.now()): RecentTokens {
  const proofs = new Map<TokenDigest, { record: TokenRecord; goodUntil: number }>();
  let forgotten = 0;
  return {
    find(digest) {
      const proof = proofs.get(digest);
      return proof !== undefined && now() < proof.goodUntil ? proof.record : undefined;
    },
    asking() {
      const askedAt = now();
      const before = forgotten;
      return ({ remainingMs, ...record }) => {
        if (forgotten !== before) {
          return;
        }
        proofs.delete(record.digest);
        proofs.set(record.digest, { record, goodUntil: askedAt + Math.min(staleMs, remainingMs) });
        for (const [oldest, { goodUntil }] of proofs) {
          if (proofs.size <= maxTokens && goodUntil > askedAt) {
            break;
          }
          proofs.delete(oldest);
        }
      };
    },
    forget(digest) {
      forgotten += 1;
      proofs.delete(digest);
    },
  };
}
