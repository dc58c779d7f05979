import { Code, ConnectError } from "@connectrpc/connect";
import { askingTimeMs, askStore, isOutage } from "../../authority/ask-store.ts";
import type { Presented } from "../../policy/credential.ts";
import {
  isStoreUnavailable,
  type Refusal,
  refusal,
  storeUnavailable,
  type Verifier,
  type VerifyCall,
} from "../../policy/verifier.ts";
import type { superNode, superNodeKey } from "../policy.ts";
import { type PublicKey, readPublicKey } from "./public-key.ts";
import { PublicKeyCache } from "./public-key-cache.ts";
import { checkSignature } from "./signed-call.ts";
import { defaultClockToleranceSeconds } from "./timestamp.ts";

/** What {@link createSuperNodeVerifiers} needs. */
export interface SuperNodeVerifierOptions {
  /**
   * Finds the id of the node that is registered for a public key (PEM), or
   * undefined. While it fails with an outage (SqlError `unavailable`, or
   * ConnectError Unavailable) it is asked again, for half of the time that the
   * guard gives; then the verifier says that its store is unavailable.
   */
  readonly findNode: (publicKey: Uint8Array) => Promise<bigint | undefined>;
  /** The keys that are accepted, as PEM or OpenSSH lines. Default: any EC key on a NIST curve. */
  readonly knownKeys?: readonly string[];
  /** The clock, in milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
}

/** The verifiers of both credentials of a SuperNode. */
export interface SuperNodeVerifiers {
  readonly superNodeKey: Verifier<typeof superNodeKey>;
  readonly superNode: Verifier<typeof superNode>;
}

/**
 * Creates the verifiers of a SuperNode's signature (contract 9). What is signed
 * is the time only, as Flower does it, so within its 305 s a signature that
 * somebody has read from the wire is good for any call of that node: use TLS
 * where the network is not trusted.
 *
 * @throws TypeError if a known key cannot be read
 */
export function createSuperNodeVerifiers(options: SuperNodeVerifierOptions): SuperNodeVerifiers {
  const { findNode, now = Date.now } = options;
  const cache = new PublicKeyCache();
  const known = options.knownKeys && new Set(options.knownKeys.map(canonicalPem));

  async function keyOf(
    presented: Presented<typeof superNode>,
    { isRecheck }: VerifyCall,
  ): Promise<PublicKey | Refusal> {
    const timestamp = presented["flwr-timestamp"];
    const publicKey = cache.parse(presented["flwr-public-key-bin"]);
    if (publicKey === undefined) {
      return refusal("no public key on a NIST curve in canonical PEM");
    }
    if (known?.has(publicKey.pem) === false) {
      return refusal("the key is not known");
    }
    const signedAt = await checkSignature({
      publicKey,
      signature: presented["flwr-signature-bin"],
      timestamp,
      signedText: timestamp,
      toleranceSeconds: defaultClockToleranceSeconds,
      isRecheck,
      now,
    });
    return typeof signedAt === "number" ? publicKey : signedAt;
  }

  return {
    superNodeKey: async (presented, call) => {
      const key = await keyOf(presented, call);
      return "pem" in key ? { publicKey: Buffer.from(key.pem) } : key;
    },
    superNode: async (presented, call) => {
      const key = await keyOf(presented, call);
      if (!("pem" in key)) {
        return key;
      }
      const nodeId = await askStore(() => findNode(Buffer.from(key.pem)), {
        timeoutMs: askingTimeMs(call.timeoutMs),
        isOutage: isStateOutage,
      });
      if (isStoreUnavailable(nodeId)) {
        // The error for callers says nothing to operators: what is behind it does.
        const { cause } = nodeId;
        return cause instanceof ConnectError ? storeUnavailable(cause.cause ?? cause) : nodeId;
      }
      return nodeId === undefined ? refusal("no node is registered for the key") : { nodeId };
    },
  };
}

/** The state of a SuperLink answers RPCs, so its outages are ConnectErrors. */
function isStateOutage(error: unknown): boolean {
  return isOutage(error) || (error instanceof ConnectError && error.code === Code.Unavailable);
}

function canonicalPem(key: string, index: number): string {
  return readPublicKey(key, `"knownKeys": key ${index + 1}`).pem;
}
