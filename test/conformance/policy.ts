import { credential, definePolicy, requires } from "countersign";
import { ConformanceService } from "./gen/connectrpc/conformance/v1/service_pb.ts";
import { sessionHeader } from "./session-header.ts";

/**
 * The credential that every RPC of the conformance service requires. It proves
 * the very secret, so that the service can tell which header it was shown.
 */
export const session = credential("session", {
  header: sessionHeader,
  claims: { presented: { kind: "string", binds: [] } },
});

const protectedRule = requires(session, {
  reachesAny: "The credential binds no field of a request.",
});

/** The policy of the conformance service: nothing in it is open. */
export const conformancePolicy = definePolicy(ConformanceService, {
  unary: protectedRule,
  serverStream: protectedRule,
  clientStream: protectedRule,
  bidiStream: protectedRule,
  unimplemented: requires(session),
  idempotentUnary: protectedRule,
});
