import type { KeyObject } from "node:crypto";
import type { Signer } from "../../client/client-credentials.ts";
import type { Presented } from "../../policy/credential.ts";
import type { superExecKey } from "../policy.ts";
import { assertSigningKey } from "./private-key.ts";
import { signText } from "./signature.ts";
import { superExecSignedText } from "./super-exec-signed-text.ts";
import { formatTimestamp } from "./timestamp.ts";

/** Makes the headers of a SuperExec's call. */
export type SuperExecSigner = Signer<Presented<typeof superExecKey>>;

/**
 * Makes the signer of a SuperExec (contract 2.3): every call gets a signature of
 * its own, of the time and the RPC.
 *
 * @throws TypeError if the key is no private EC key on a NIST curve
 */
export function signAsSuperExec(privateKey: KeyObject): SuperExecSigner {
  const publicKey = Buffer.from(assertSigningKey(privateKey, '"privateKey"').pem);
  return async ({ method, now }) => {
    const timestamp = formatTimestamp(now());
    return {
      "flwr-superexec-public-key-bin": publicKey,
      "flwr-superexec-signature-bin": await signText(
        superExecSignedText(timestamp, method),
        privateKey,
      ),
      "flwr-superexec-timestamp": timestamp,
    };
  };
}
