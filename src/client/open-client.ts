import { type Client, createClient, type Transport } from "@connectrpc/connect";
import type { AnyPolicy, OpenMethodOf } from "../policy/policy.ts";
import { assertPolicy } from "./assert-policy.ts";
import { presentOn } from "./credential-transport.ts";
import { presentNothing } from "./presenter.ts";

/** A connect client with the open RPCs of a policy only. */
export type OpenClient<P extends AnyPolicy> = Pick<
  Client<P["service"]>,
  OpenMethodOf<P> & keyof Client<P["service"]>
>;

/**
 * Creates a client without credentials: it has the open RPCs of the policy, and
 * no other. It works on every transport, and sends none of the policy's
 * credential headers even if call options set them.
 *
 * @throws TypeError if `policy` was not made by definePolicy.
 */
export function createOpenClient<P extends AnyPolicy>(
  policy: P,
  transport: Transport,
): OpenClient<P> {
  assertPolicy(policy);
  const service: P["service"] = policy.service;
  const client = createClient(service, presentOn(transport, presentNothing(policy)));
  const openMethods = service.methods.filter((method) => policy.ruleOf(method)?.kind === "open");
  const names = new Set(openMethods.map(({ localName }) => localName));
  // The one cast of this file: the names come from the rules that the type reads.
  return Object.fromEntries(
    Object.entries(client).filter(([name]) => names.has(name)),
  ) as OpenClient<P>;
}
