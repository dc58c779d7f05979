import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import type { AnyPolicy } from "../policy/policy.ts";
import { assertPolicy } from "./assert-policy.ts";
import type { ClientCredentials } from "./client-credentials.ts";
import { presentOn } from "./credential-transport.ts";
import { assertMayCarrySecrets, type LocatedTransport } from "./located-transport.ts";
import { createPresenter } from "./presenter.ts";

/** Options of an authenticated client. */
export interface ClientOptions {
  /** The clock that signers are given: milliseconds since the Unix epoch. Default: Date.now. */
  readonly now?: () => number;
}

/** A connect client with all RPCs of a policy's service. */
export type AuthenticatedClient<P extends AnyPolicy> = Client<P["service"]>;

/**
 * A policy of exactly one service: a policy of another one, even of one that
 * has all of its RPCs, does not compile.
 */
export type PolicyOf<D extends DescService, P extends AnyPolicy> = P &
  ([P["service"], D] extends [D, P["service"]]
    ? unknown
    : "this client needs a policy of its own service");

/**
 * Creates a client with all RPCs of a policy's service. Protected RPCs carry
 * the credential that their rule requires, in place of any header of that name
 * in the call options; with `anyOf`, the first of the rule's credentials that
 * the client has, and no other. Open RPCs carry none.
 *
 * Secrets are kept in closures: inspecting or serialising the client does not
 * show them. What a transport's own interceptors do with headers is theirs.
 *
 * @throws TypeError if a credential is missing, unknown or malformed; if
 * `transport` was not made by transportTo or inProcess; if it sends in
 * plaintext to a host that is not loopback without `allowPlaintext: true`; or
 * if `policy` was not made by definePolicy.
 */
export function createAuthenticatedClient<P extends AnyPolicy>(
  policy: P,
  transport: LocatedTransport,
  credentials: ClientCredentials<P>,
  options?: ClientOptions,
): AuthenticatedClient<P> {
  assertPolicy(policy);
  const service: P["service"] = policy.service;
  return createClient(service, authenticate(policy, transport, credentials, options));
}

/**
 * Like {@link createAuthenticatedClient}, for a service that is known before
 * its policy is: what the classes that protoc-gen-countersign writes are made
 * of.
 *
 * @throws TypeError as createAuthenticatedClient does, and if `policy` is not a
 * policy of `service`.
 */
export function createServiceClient<D extends DescService, P extends AnyPolicy>(
  service: D,
  policy: PolicyOf<D, P>,
  transport: LocatedTransport,
  credentials: ClientCredentials<P>,
  options?: ClientOptions,
): Client<D> {
  assertPolicy(policy, service);
  return createClient(service, authenticate(policy, transport, credentials, options));
}

function authenticate(
  policy: AnyPolicy,
  transport: LocatedTransport,
  credentials: unknown,
  { now = Date.now }: ClientOptions = {},
): Transport {
  if (typeof now !== "function") {
    throw new TypeError('"now" must be a function that returns milliseconds');
  }
  assertMayCarrySecrets(transport);
  return presentOn(transport, createPresenter(policy, credentials, now));
}
