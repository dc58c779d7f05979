import type { KeyObject } from "node:crypto";
import type { Signer } from "../../client/client-credentials.ts";
import type { Presented } from "../../policy/credential.ts";
import type { superNode } from "../policy.ts";
import { assertSigningKey } from "./private-key.ts";
import { signText } from "./signature.ts";
import { formatTimestamp } from "./timestamp.ts";

/** Makes the headers of a SuperNode's call. */
export type SuperNodeSigner = Signer<Presented<typeof superNode>>;

/**
 * Makes the signer of a SuperNode (contract 9). It is both of the credentials
 * that a client of Fleet needs:
 *
 * ```ts
 * const sign = signAsSuperNode(privateKey);
 * new FleetClient(fleetPolicy, transport, { superNodeKey: sign, superNode: sign });
 * ```
 *
 * @throws TypeError if the key is no private EC key on a NIST curve
 */
export function signAsSuperNode(privateKey: KeyObject): SuperNodeSigner {
  const publicKey = Buffer.from(assertSigningKey(privateKey, '"privateKey"').pem);
  return async ({ now }) => {
    const timestamp = formatTimestamp(now());
    return {
      "flwr-public-key-bin": publicKey,
      "flwr-signature-bin": await signText(timestamp, privateKey),
      "flwr-timestamp": timestamp,
    };
  };
}
