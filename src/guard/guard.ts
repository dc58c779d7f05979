import type { DescMethod } from "@bufbuild/protobuf";
import type { ConnectError, ConnectRouter, Interceptor } from "@connectrpc/connect";
import type { AnyCredential } from "../policy/credential.ts";
import type { AnyPolicy, CredentialOf } from "../policy/policy.ts";
import type { Verifier } from "../policy/verifier.ts";
import type { HeaderSource } from "./decide.ts";
import { type DecisionCount, type DecisionEvent, DecisionLog } from "./decisions.ts";
import { createEnforcer } from "./enforce.ts";
import { type AnyVerifier, Gate, type GatedCall, type Verifiable } from "./gate.ts";
import { registerRoutes } from "./routes.ts";
import { type AnyService, checkedSize, type Service } from "./service.ts";
import { createUnaryRoutes, type UnaryRoute } from "./unary-route.ts";

/** Every credential that some of the services requires, as a union. */
export type CredentialOfServices<S extends readonly AnyService[]> = S[number] extends infer One
  ? One extends Service<infer P>
    ? CredentialOf<P>
    : never
  : never;

/** One verifier for every credential that some of the services requires, by the credential's name. */
export type VerifiersFor<S extends readonly AnyService[]> = {
  readonly [C in CredentialOfServices<S> as C["name"]]: Verifier<C>;
};

type IsUnion<T, U = T> = T extends U ? ([U] extends [T] ? false : true) : never;

/** Names that two different credentials of the services share. */
type AmbiguousName<C extends AnyCredential> = {
  [N in C["name"]]: true extends IsUnion<Extract<C, { readonly name: N }>> ? N : never;
}[C["name"]];

/** The services of a guard, or a sentence in their place. */
export type CheckedServices<S extends readonly AnyService[]> = number extends S["length"]
  ? "list the services where they are served: an array of Service[] hides what they require"
  : [AmbiguousName<CredentialOfServices<S>>] extends [never]
    ? S
    : `the services use two credentials of the name ${AmbiguousName<CredentialOfServices<S>>}`;

/** Options of a guard that do not depend on its services. */
export interface GuardSettings {
  /** Interceptors of yours, outermost first. They run inside the guard's: they see bound messages. */
  readonly interceptors?: readonly Interceptor[];
  /** Called for every refusal, at most 100 times a second. What it throws is ignored. */
  readonly onDecision?: (event: DecisionEvent) => void;
  /** The largest request message of an open RPC, in bytes. Default: 64 KiB. */
  readonly openReadMaxBytes?: number;
  /** The largest request message of a protected RPC, in bytes. Default: 4 MiB. */
  readonly readMaxBytes?: number;
  /** How long a verifier may take, in ms, before its call is refused. Default: 5000; at most 60000. */
  readonly verifyTimeoutMs?: number;
  /** A unary call whose body took longer than this, in ms, is verified again. Default and at most: 1000. */
  readonly recheckBodyMs?: number;
  /** How often a stream is verified again, in ms. Default and at most: 5000. */
  readonly recheckStreamMs?: number;
  /** A clock in ms that does not jump. Default: `performance.now`. */
  readonly now?: () => number;
}

/** Options of {@link createGuard}. */
export interface GuardOptions<S extends readonly AnyService[]> extends GuardSettings {
  /** The services to guard; each at most once. */
  readonly services: S & CheckedServices<S>;
  /** A verifier for every credential that the services require. */
  // NoInfer, so that the parameters of verifiers written in place get their types.
  readonly verifiers: NoInfer<VerifiersFor<S>>;
}

/** What enforces policies on a server. Made by {@link createGuard}. */
export interface Guard {
  /**
   * Registers the services on a router of connect, for its adapters. Pass your
   * interceptors to the guard, not to the router or its adapter: connect drops
   * a router's interceptors for RPCs that have their own, and the guard's must
   * be the outermost.
   */
  readonly routes: (router: ConnectRouter) => void;
  /** The RPCs that the guard knows. */
  readonly methods: readonly DescMethod[];
  /** Whether anybody may call an RPC; false for one that the guard does not know. */
  isOpen(method: DescMethod): boolean;
  /**
   * Decides on a call by its headers alone, as the gate does, for listeners that
   * must answer before a handler of connect's is chosen.
   *
   * @throws ConnectError: the one refusal, or Unavailable while a verifier's store is.
   */
  admit(method: DescMethod, headers: HeaderSource, call: GatedCall): Promise<void>;
  /**
   * Returns what a call of an RPC that no policy has is to be refused with, as
   * the gate refuses those of protected ones. Counts and reports it.
   *
   * @param path what was asked for, in place of an RPC's name.
   */
  refuseUnknown(path: string, headers: HeaderSource, call: GatedCall): Promise<ConnectError>;
  /** Returns how many calls of each RPC were allowed, refused, and answered with Unavailable. */
  counters(): readonly DecisionCount[];
}

/** A guard for a listener of ours. */
export interface ServedGuard extends Guard {
  /** The largest request message of an RPC, in bytes. */
  readMaxBytesOf(method: DescMethod): number;
  /** Makes the routes of the unary RPCs, for calls that do not pass through connect's handlers. */
  unaryRoutes(): readonly UnaryRoute[];
}

/**
 * Creates a guard for services.
 *
 * @throws TypeError if a service is given twice, two services use different
 * credentials of one name, a verifier is missing or is none of theirs, or a
 * number is out of its range.
 */
export function createGuard<const S extends readonly AnyService[]>(
  options: GuardOptions<S>,
): Guard {
  const {
    unaryRoutes: _,
    readMaxBytesOf: __,
    ...guard
  } = guardOf(options.services, options.verifiers, options);
  return Object.freeze(guard);
}

/** {@link createGuard} for callers that carry the types themselves, such as `serve`. */
export function guardOf(
  services: readonly AnyService[],
  verifiers: object,
  settings: GuardSettings,
): ServedGuard {
  for (const option of ["now", "onDecision"] as const) {
    if (settings[option] !== undefined && typeof settings[option] !== "function") {
      throw new TypeError(`"${option}" must be a function`);
    }
  }
  if (settings.interceptors !== undefined && !Array.isArray(settings.interceptors)) {
    throw new TypeError('"interceptors" must be a list of interceptors');
  }
  const policies = policiesOf(services);
  const now = settings.now ?? (() => performance.now());
  const decisions = new DecisionLog(policies.keys(), settings.onDecision, now);
  const gate = new Gate({
    policies,
    credentials: verifiablesOf(services, verifiers),
    decisions,
    verifyTimeoutMs: milliseconds(settings, "verifyTimeoutMs", 5_000, 60_000),
    now,
  });
  const enforcement = {
    gate,
    decisions,
    now,
    recheckBodyMs: milliseconds(settings, "recheckBodyMs", 1_000, 1_000),
    recheckStreamMs: milliseconds(settings, "recheckStreamMs", 5_000, 5_000),
  };
  const interceptors = settings.interceptors ?? [];
  const openBytes = checkedSize('"openReadMaxBytes"', settings.openReadMaxBytes ?? 64 * 1024);
  const protectedBytes = checkedSize('"readMaxBytes"', settings.readMaxBytes ?? 4 * 1024 * 1024);
  const isOpen = (method: DescMethod) => policies.get(method)?.ruleOf(method)?.kind === "open";
  const sizes = new Map(services.flatMap((service) => [...service.readMaxBytes]));
  const readMaxBytesOf = (method: DescMethod) =>
    sizes.get(method) ?? (isOpen(method) ? openBytes : protectedBytes);
  return Object.freeze({
    routes: (router: ConnectRouter) =>
      registerRoutes(router, {
        services,
        gate,
        decisions,
        interceptors: [createEnforcer(enforcement), ...interceptors],
        readMaxBytesOf,
      }),
    readMaxBytesOf,
    unaryRoutes: () =>
      createUnaryRoutes({ ...enforcement, services, interceptors, readMaxBytesOf }),
    methods: Object.freeze([...policies.keys()]),
    isOpen,
    admit: async (method: DescMethod, headers: HeaderSource, call: GatedCall) => {
      await gate.admit(method, headers, call);
    },
    refuseUnknown: async (path: string, headers: HeaderSource, call: GatedCall) =>
      gate.refuseUnknown(path, headers, call),
    counters: () => decisions.counts(),
  });
}

function policiesOf(services: readonly AnyService[]): ReadonlyMap<DescMethod, AnyPolicy> {
  if (!Array.isArray(services) || services.length === 0) {
    throw new TypeError('"services" must list at least one service');
  }
  const names = new Set<string>();
  const policies = new Map<DescMethod, AnyPolicy>();
  for (const { policy } of services) {
    const { typeName } = policy.service;
    if (names.has(typeName)) {
      throw new TypeError(`"services" lists ${typeName} twice`);
    }
    names.add(typeName);
    for (const method of policy.service.methods) {
      policies.set(method, policy);
    }
  }
  return policies;
}

function verifiablesOf(
  services: readonly AnyService[],
  given: object,
): Map<AnyCredential, Verifiable> {
  const wanted = new Map<
    string,
    { readonly credential: AnyCredential; readonly method: DescMethod }
  >();
  for (const { policy } of services) {
    for (const method of policy.service.methods) {
      const rule = policy.ruleOf(method);
      for (const credential of rule?.kind === "protected" ? rule.credentials : []) {
        const known = wanted.get(credential.name) ?? { credential, method };
        if (known.credential !== credential) {
          throw new TypeError(`the services use two credentials of the name "${credential.name}"`);
        }
        wanted.set(credential.name, known);
      }
    }
  }
  const verifiers = new Map<string, unknown>(Object.entries(given));
  for (const name of verifiers.keys()) {
    if (!wanted.has(name)) {
      throw new TypeError(`"verifiers" has "${name}", which no service requires`);
    }
  }
  const verifiables = new Map<AnyCredential, Verifiable>();
  for (const [name, { credential, method }] of wanted) {
    const verifier = verifiers.get(name);
    if (!verifiers.has(name)) {
      throw new TypeError(`"verifiers" lacks "${name}", which a service requires`);
    }
    if (!isVerifier(verifier)) {
      throw new TypeError(`"verifiers": "${name}" must be a function`);
    }
    verifiables.set(credential, { verifier, method });
  }
  return verifiables;
}

function isVerifier(value: unknown): value is AnyVerifier {
  return typeof value === "function";
}

function milliseconds(
  settings: GuardSettings,
  option: "verifyTimeoutMs" | "recheckBodyMs" | "recheckStreamMs",
  fallback: number,
  most: number,
): number {
  const value = settings[option] ?? fallback;
  if (typeof value !== "number" || !(value > 0) || value > most) {
    throw new TypeError(`"${option}" must be a number of ms above 0 and at most ${most}`);
  }
  return value;
}
