import type { DescMethod } from "@bufbuild/protobuf";
import type { AnyCredential, Presented } from "../policy/credential.ts";
import type { AnyPolicy } from "../policy/policy.ts";
import type { ProtectedRule } from "../policy/rule.ts";
import type { Token } from "../policy/token.ts";

/** What a {@link Signer} is told about the call. */
export interface SignCall {
  /** Descriptor of the RPC that is called. */
  readonly method: DescMethod;
  /** The client's clock: milliseconds since the Unix epoch. */
  readonly now: () => number;
}

/**
 * Makes the headers of a signed credential for one call: a string for each text
 * header, bytes for each `-bin` header. It is called once per call, and a call
 * whose signer throws or outlasts the call's deadline fails without being sent.
 */
export type Signer<Shown> = (call: SignCall) => Shown | Promise<Shown>;

/** What a client needs to present a credential: the {@link Token} itself, or a {@link Signer}. */
export type ClientCredential<C extends AnyCredential> = [Presented<C>] extends [Token]
  ? Token
  : Signer<Presented<C>>;

/** An object with at least one of some credentials, keyed by name. */
type AtLeastOne<
  All extends AnyCredential,
  One extends AnyCredential = All,
> = One extends AnyCredential
  ? { readonly [N in One["name"]]: ClientCredential<One> } & {
      readonly [N in Exclude<All["name"], One["name"]>]?: ClientCredential<
        Extract<All, { readonly name: N }>
      >;
    }
  : never;

/** The demand of every rule as the parameter of a function: inferring from their union intersects them. */
type Demand<R> = R extends ProtectedRule<infer C> ? (demand: AtLeastOne<C[number]>) => void : never;

type Flat<T> = T extends unknown ? { [K in keyof T]: T[K] } : never;

type DemandOf<P extends AnyPolicy> = Demand<P["rules"][keyof P["rules"]]>;

/**
 * The credentials that a client of a policy needs, keyed by their names: every
 * one that some RPC requires alone, and at least one of every `anyOf`. Secrets
 * are Tokens, made by `parseToken`; signed credentials are {@link Signer}s.
 */
export type ClientCredentials<P extends AnyPolicy> = unknown extends P["rules"]
  ? "the rules of this policy are not known: leave its type to inference"
  : [DemandOf<P>] extends [never]
    ? { readonly [credential: string]: never }
    : DemandOf<P> extends (demand: infer All) => void
      ? Flat<All>
      : never;
