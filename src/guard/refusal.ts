import { Code, ConnectError } from "@connectrpc/connect";

/** The text of every refusal of a caller that has not proved who it is: Flower's own. */
export const authenticationFailedText = "Authentication failed.";

/** The text of every refusal of a request that names what its caller did not prove. */
export const permissionDeniedText = "Permission denied.";

/** The text of every answer to a caller whose credential cannot be verified for want of a store. */
export const verificationUnavailableText = "The credential cannot be verified at present.";

/**
 * The one refusal: the same for missing, malformed, repeated, unknown, expired
 * and revoked credentials, and for unknown RPCs.
 */
export function authenticationFailed(): ConnectError {
  return new ConnectError(authenticationFailedText, Code.Unauthenticated);
}

/** The refusal of a request that names what its caller did not prove. */
export function permissionDenied(): ConnectError {
  return new ConnectError(permissionDeniedText, Code.PermissionDenied);
}

/** The answer while a verifier's store is down: the caller may be in the right, and may try again. */
export function verificationUnavailable(): ConnectError {
  return new ConnectError(verificationUnavailableText, Code.Unavailable);
}
