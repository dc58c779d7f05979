import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, encodeBinaryHeader } from "@connectrpc/connect";
import type { AnyCredential } from "../policy/credential.ts";
import type { AnyPolicy } from "../policy/policy.ts";
import type { ProtectedRule } from "../policy/rule.ts";
import { isToken } from "../policy/token.ts";
import type { SignCall } from "./client-credentials.ts";

/** Header names and values that prove who calls. */
export type CredentialHeaders = readonly (readonly [name: string, value: string])[];

/** Presents one credential for a call of a method. */
export type Present = (method: DescMethod) => CredentialHeaders | Promise<CredentialHeaders>;

/** How a client presents itself to every RPC of a policy. */
export interface Presenter {
  /** Every header of every credential of the policy: nobody else may set them. */
  readonly headers: ReadonlySet<string>;
  /** Presents the credential of a method; undefined where there is none to present. */
  presentFor(method: DescMethod): Present | undefined;
}

/** The presenter of a client without credentials. */
export function presentNothing(policy: AnyPolicy): Presenter {
  const headers = credentialsOf(policy).flatMap((credential) => credential.headers);
  return { headers: new Set(headers), presentFor: () => undefined };
}

/**
 * Checks what a client was given against its policy, and keeps it in closures:
 * nothing that can be inspected or serialised holds a secret.
 *
 * @throws TypeError if a credential is missing, unknown or malformed. The
 * message never shows the value.
 */
export function createPresenter(policy: AnyPolicy, given: unknown, now: () => number): Presenter {
  const presents = presentsOf(policy, given, now);
  for (const { method, rule } of protectedMethodsOf(policy)) {
    if (choose(rule, presents) === undefined) {
      const names = rule.credentials.map(({ name }) => `"credentials.${name}"`).join(" or ");
      throw new TypeError(`${names} is missing: ${method.localName} requires it`);
    }
  }
  return presenterOf(policy, presents);
}

/**
 * The same for a client that has some of the policy's credentials only: it
 * presents nothing for the RPCs that require others.
 *
 * @throws TypeError if a credential is unknown, malformed, or named and undefined.
 */
export function createPartialPresenter(
  policy: AnyPolicy,
  given: object,
  now: () => number,
): Presenter {
  const presents = presentsOf(policy, given, now);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) {
      throw new TypeError(`"credentials.${name}" is undefined`);
    }
  }
  return presenterOf(policy, presents);
}

type Presents = ReadonlyMap<AnyCredential, Present>;

function presentsOf(policy: AnyPolicy, given: unknown, now: () => number): Presents {
  if (typeof given !== "object" || given === null) {
    throw new TypeError('"credentials" must be an object, keyed by the names of credentials');
  }
  const values = new Map<string, unknown>(Object.entries(given));
  const presents = new Map<AnyCredential, Present>();
  for (const credential of credentialsOf(policy)) {
    const value = values.get(credential.name);
    values.delete(credential.name);
    if (value !== undefined) {
      presents.set(credential, presentOf(credential, value, now));
    }
  }
  for (const name of values.keys()) {
    throw new TypeError(
      `"credentials.${name}" is no credential of the policy of ${policy.service.typeName}`,
    );
  }
  return presents;
}

function presenterOf(policy: AnyPolicy, presents: Presents): Presenter {
  const byMethod = new Map<DescMethod, Present>();
  for (const { method, rule } of protectedMethodsOf(policy)) {
    const present = choose(rule, presents);
    if (present !== undefined) {
      byMethod.set(method, present);
    }
  }
  return { ...presentNothing(policy), presentFor: (method) => byMethod.get(method) };
}

/** The first credential of the rule that the client has: exactly one may be sent. */
function choose(rule: ProtectedRule, presents: Presents): Present | undefined {
  return rule.credentials.map((one) => presents.get(one)).find((present) => present !== undefined);
}

function presentOf(credential: AnyCredential, value: unknown, now: () => number): Present {
  const { name, kind, headers } = credential;
  if (kind === "signed") {
    if (!isFunction(value)) {
      throw new TypeError(`"credentials.${name}" must be a function that signs a call`);
    }
    return (method) => sign(credential, value, method, now);
  }
  if (typeof value !== "string" || !isToken(value)) {
    throw new TypeError(
      `"credentials.${name}" must be a Token: pass the string through parseToken(...)`,
    );
  }
  const shown: CredentialHeaders = headers.map((header) => [header, value]);
  return () => shown;
}

async function sign(
  { name, headers }: AnyCredential,
  signer: (call: SignCall) => unknown,
  method: DescMethod,
  now: () => number,
): Promise<CredentialHeaders> {
  let signed: unknown;
  try {
    signed = await signer({ method, now });
  } catch (cause) {
    // The code is kept for callers that retry; the signer's text is not ours to show.
    const code = cause instanceof ConnectError ? cause.code : Code.Unknown;
    throw new ConnectError(
      `the signer of credential "${name}" failed`,
      code,
      undefined,
      undefined,
      cause,
    );
  }
  const values = new Map<string, unknown>(
    typeof signed === "object" && signed !== null ? Object.entries(signed) : [],
  );
  return headers.map((header) => [header, headerValue(name, header, values.get(header))]);
}

/** Text has the grammar of a token: the guard refuses all else, for HTTP may join or trim it on the way. */
function headerValue(name: string, header: string, value: unknown): string {
  if (header.endsWith("-bin")) {
    if (value instanceof Uint8Array && value.length > 0) {
      return encodeBinaryHeader(value);
    }
    throw badHeader(name, header, "a non-empty Uint8Array");
  }
  if (typeof value === "string" && isToken(value)) {
    return value;
  }
  throw badHeader(name, header, "a string of visible ASCII characters without commas");
}

/** Narrows to what the compiler made callers pass; what it returns is checked by {@link headerValue}. */
function isFunction(value: unknown): value is (call: SignCall) => unknown {
  return typeof value === "function";
}

function badHeader(name: string, header: string, expected: string): ConnectError {
  return new ConnectError(
    `the signer of credential "${name}" must give ${expected} for "${header}"`,
    Code.Internal,
  );
}

function credentialsOf(policy: AnyPolicy): AnyCredential[] {
  const all = [...protectedMethodsOf(policy)].flatMap(({ rule }) => rule.credentials);
  return [...new Set(all)];
}

function* protectedMethodsOf(
  policy: AnyPolicy,
): Iterable<{ method: DescMethod; rule: ProtectedRule }> {
  for (const method of policy.service.methods) {
    const rule = policy.ruleOf(method);
    if (rule?.kind === "protected") {
      yield { method, rule };
    }
  }
}
