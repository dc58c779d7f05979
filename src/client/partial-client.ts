import { type Client, createClient } from "@connectrpc/connect";
import type { AnyPolicy, CredentialOf, CredentialOfRule } from "../policy/policy.ts";
import type { OpenRule } from "../policy/rule.ts";
import { assertPolicy } from "./assert-policy.ts";
import type { ClientOptions } from "./authenticated-client.ts";
import type { ClientCredential } from "./client-credentials.ts";
import { presentOn } from "./credential-transport.ts";
import { assertMayCarrySecrets, type LocatedTransport } from "./located-transport.ts";
import { createPartialPresenter } from "./presenter.ts";

/** Some of the credentials that a policy's RPCs require, keyed by their names. */
export type SomeCredentials<P extends AnyPolicy> = unknown extends P["rules"]
  ? "the rules of this policy are not known: leave its type to inference"
  : { readonly [C in CredentialOf<P> as C["name"]]?: ClientCredential<C> };

type MethodKey<P extends AnyPolicy> = keyof P["service"]["method"] & keyof P["rules"];

/** Names of the RPCs that are open, or whose rule some of the credentials satisfy. */
export type MethodFor<P extends AnyPolicy, Names> = {
  [K in MethodKey<P>]: P["rules"][K] extends OpenRule
    ? K
    : [CredentialOfRule<P["rules"][K]>["name"] & Names] extends [never]
      ? never
      : K;
}[MethodKey<P>];

/** A connect client with the RPCs of a policy that some of its credentials let it call. */
export type PartialClient<P extends AnyPolicy, Names> = Pick<
  Client<P["service"]>,
  MethodFor<P, Names> & keyof Client<P["service"]>
>;

/**
 * Creates a client for a caller that has some of a policy's credentials: it has
 * the RPCs that they satisfy and the open ones, and no other. A launcher, for
 * one, signs and has no token.
 *
 * ```ts
 * const launcher = createPartialClient(signedServerAppIoPolicy, transport, { superExecKey: sign });
 * ```
 *
 * @throws TypeError as createAuthenticatedClient does, but for credentials that
 * are missing; those that are named must be there.
 */
export function createPartialClient<P extends AnyPolicy, const C extends SomeCredentials<P>>(
  policy: P,
  transport: LocatedTransport,
  credentials: C & { readonly [N in Exclude<keyof C, CredentialOf<P>["name"]>]: never },
  { now = Date.now }: ClientOptions = {},
): PartialClient<P, keyof C> {
  assertPolicy(policy);
  if (typeof now !== "function") {
    throw new TypeError('"now" must be a function that returns milliseconds');
  }
  assertMayCarrySecrets(transport);
  const presenter = createPartialPresenter(policy, credentials, now);
  const service: P["service"] = policy.service;
  const client = createClient(service, presentOn(transport, presenter));
  const callable = service.methods.filter(
    (method) =>
      policy.ruleOf(method)?.kind === "open" || presenter.presentFor(method) !== undefined,
  );
  const names = new Set(callable.map(({ localName }) => localName));
  // The one cast of this file: the names come from the rules that the type reads.
  return Object.fromEntries(
    Object.entries(client).filter(([name]) => names.has(name)),
  ) as PartialClient<P, keyof C>;
}
