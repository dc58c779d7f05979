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
  return withoutStack(() => new ConnectError(authenticationFailedText, Code.Unauthenticated));
}

/** The refusal of a request that names what its caller did not prove. */
export function permissionDenied(): ConnectError {
  return new ConnectError(permissionDeniedText, Code.PermissionDenied);
}

/** The answer while a verifier's store is down: the caller may be in the right, and may try again. */
export function verificationUnavailable(): ConnectError {
  return withoutStack(() => new ConnectError(verificationUnavailableText, Code.Unavailable));
}

/**
 * Makes an error without a stack. It would be three quarters of what a refusal
 * costs, anybody can ask for refusals, and it says nothing: who has to know
 * where a call was refused reads the decisions.
 */
function withoutStack(make: () => ConnectError): ConnectError {
  const limit: unknown = Reflect.get(Error, "stackTraceLimit");
  // Not V8, or not to be changed: then it costs what it costs.
  if (typeof limit !== "number" || !Reflect.set(Error, "stackTraceLimit", 0)) {
    return make();
  }
  try {
    return make();
  } finally {
    Reflect.set(Error, "stackTraceLimit", limit);
  }
}
