import { Code, ConnectError } from "@connectrpc/connect";

/** The text of every refusal of a caller that has not proved who it is: Flower's own. */
export const authenticationFailedText = "Authentication failed.";

/** The text of every refusal of a request that names what its caller did not prove. */
export const permissionDeniedText = "Permission denied.";

/**
 * The one refusal: the same for missing, malformed, repeated, unknown, expired
 * and revoked credentials, for unknown RPCs, and for a store that is down.
 */
export function authenticationFailed(): ConnectError {
  return new ConnectError(authenticationFailedText, Code.Unauthenticated);
}

/** The refusal of a request that names what its caller did not prove. */
export function permissionDenied(): ConnectError {
  return new ConnectError(permissionDeniedText, Code.PermissionDenied);
}
