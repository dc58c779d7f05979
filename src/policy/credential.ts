import type { Token } from "./token.ts";

/** The kinds of value that a claim can have. */
export type ClaimKind = "string" | "bigint" | "number" | "boolean" | "bytes";

/** The value of a claim of each kind. */
export interface ClaimValues {
  string: string;
  bigint: bigint;
  number: number;
  boolean: boolean;
  bytes: Uint8Array;
}

/** A value that a claim can have. */
export type ClaimValue = ClaimValues[ClaimKind];

/**
 * How a claim is declared: its kind, and the request fields that it binds. A
 * bare kind binds the fields named like the claim itself. Fields are named as
 * protobuf-es names them in TypeScript (`run_id` in a .proto file is `runId`).
 */
export type ClaimDeclaration =
  | ClaimKind
  | { readonly kind: ClaimKind; readonly binds: readonly string[] };

/** What {@link credential} needs to know about a credential. */
export type CredentialOptions = SecretCredentialOptions | SignedCredentialOptions;

/** A credential that is one fixed secret in one header. */
export interface SecretCredentialOptions {
  /** Name of the text header that carries the secret; lower case, not `-bin`. */
  readonly header: string;
  readonly headers?: never;
  /**
   * Request field that may repeat the secret. Wherever a request has it, it
   * must be empty or equal the header, and the handler sees it empty.
   */
  readonly secretField?: string;
  /** What the credential proves. */
  readonly claims: { readonly [claim: string]: ClaimDeclaration };
}

/** A credential that is made anew for every call, in one or more headers. */
export interface SignedCredentialOptions {
  /** Names of the headers; lower case. Those that end in `-bin` carry bytes. */
  readonly headers: readonly [string, ...string[]];
  readonly header?: never;
  readonly secretField?: never;
  /** What the credential proves. */
  readonly claims: { readonly [claim: string]: ClaimDeclaration };
}

declare const claimsType: unique symbol;
declare const boundType: unique symbol;
declare const presentedType: unique symbol;

/** How a claim binds requests: its kind, and the names of the fields it binds. */
export interface ClaimBinding {
  readonly kind: ClaimKind;
  readonly binds: readonly string[];
}

/**
 * A kind of proof that a caller can present: the headers it travels in, the
 * claims it proves, and the request fields those claims bind. Made by
 * {@link credential}.
 */
export interface Credential<
  Name extends string = string,
  Claims extends object = object,
  Bound extends string = string,
  Shown = unknown,
> {
  /** Name of the credential; verifiers and clients are keyed by it. */
  readonly name: Name;
  /** `secret`: one fixed secret in one header. `signed`: made anew for every call. */
  readonly kind: "secret" | "signed";
  /** Names of the headers, in lower case. */
  readonly headers: readonly string[];
  /** Request field that may repeat the secret, or undefined. */
  readonly secretField: string | undefined;
  /** Every claim, with its kind and the fields it binds. */
  readonly claims: ReadonlyMap<string, ClaimBinding>;
  /**
   * Narrows the types of claims, for branded strings and the like. It changes
   * nothing at run time: the verifier answers for it.
   */
  proves<Narrowed extends Partial<Claims>>(): Credential<
    Name,
    { [K in keyof Claims]: K extends keyof Narrowed ? Narrowed[K] : Claims[K] },
    Bound,
    Shown
  >;
  readonly [claimsType]?: Claims;
  readonly [boundType]?: Bound;
  readonly [presentedType]?: Shown;
}

/** Any credential. */
export type AnyCredential = Credential;

/** The claims that a credential proves, as an object type. */
export type ClaimsOf<C extends AnyCredential> =
  C extends Credential<string, infer Claims> ? { readonly [K in keyof Claims]: Claims[K] } : never;

/** Names of the request fields that a credential binds, its secret's included. */
export type BoundFieldsOf<C extends AnyCredential> =
  C extends Credential<string, object, infer Bound> ? Bound : never;

/**
 * What a verifier is handed: the {@link Token} of a secret credential, or the
 * header values of a signed one, `-bin` headers as bytes.
 */
export type Presented<C extends AnyCredential> =
  C extends Credential<string, object, string, infer Shown> ? Shown : never;

type KindOf<D extends ClaimDeclaration> = D extends { readonly kind: infer K } ? K : D;

const headerName = /^[a-z0-9!#$%&'*+.^_`|~-]+$/;

/**
 * Headers that mean something to HTTP or to an RPC protocol. A credential in
 * one of them would be read, joined or replaced by somebody else on the way.
 */
const reservedHeader =
  /^(?:host|connection|content-.*|accept.*|te|trailer|transfer-encoding|upgrade|user-agent|cookie|set-cookie|origin|referer|sec-.*|access-control-.*|grpc-.*|connect-.*|x-grpc-.*|timeout|:.*)$/;

/**
 * Declares a credential.
 *
 * ```ts
 * export const appToken = credential("appToken", {
 *   header: "flwr-app-token",
 *   secretField: "token",
 *   claims: { runId: "bigint", tokenDigest: { kind: "string", binds: [] } },
 * }).proves<{ tokenDigest: TokenDigest }>();
 * ```
 *
 * A claim binds every request field of its name unless `binds` lists others;
 * `binds: []` binds none.
 *
 * @throws TypeError if the name is empty; a header name is not a lower-case
 * HTTP token, is listed twice, is one that HTTP or an RPC protocol uses itself,
 * or ends in `-bin` for a secret; a claim has an unknown kind; or one field is
 * bound by two claims.
 */
export function credential<const Name extends string, const O extends CredentialOptions>(
  name: Name,
  options: O,
): Credential<
  Name,
  // Written out here, not named: the compiler prints these types in users' errors.
  { -readonly [K in keyof O["claims"]]: ClaimValues[KindOf<O["claims"][K]> & ClaimKind] },
  | {
      [K in keyof O["claims"] & string]: O["claims"][K] extends {
        readonly binds: readonly (infer F)[];
      }
        ? F & string
        : K;
    }[keyof O["claims"] & string]
  | (O extends { readonly secretField: infer F extends string } ? F : never),
  O extends SignedCredentialOptions
    ? { readonly [H in O["headers"][number]]: H extends `${string}-bin` ? Uint8Array : string }
    : Token
> {
  if (typeof name !== "string" || name === "") {
    throw new TypeError("a credential needs a name");
  }
  const headers = options.headers === undefined ? [options.header] : [...options.headers];
  checkHeaders(name, headers, options.headers === undefined);
  const claims = new Map<string, ClaimBinding>();
  for (const [claim, declaration] of Object.entries(options.claims)) {
    claims.set(claim, bindingOf(name, claim, declaration));
  }
  checkFields(name, claims, options.secretField);
  return create(
    name,
    options.headers === undefined ? "secret" : "signed",
    headers,
    options.secretField,
    claims,
  );
}

function create<Name extends string, Claims extends object, Bound extends string, Shown>(
  name: Name,
  kind: "secret" | "signed",
  headers: readonly string[],
  secretField: string | undefined,
  claims: ReadonlyMap<string, ClaimBinding>,
): Credential<Name, Claims, Bound, Shown> {
  const made: Credential<Name, Claims, Bound, Shown> = {
    name,
    kind,
    headers: Object.freeze(headers),
    secretField,
    claims,
    // The one cast of this file: `proves` narrows types and nothing else, and
    // no expression can show the compiler that the verifier keeps that promise.
    proves: () => made as never,
  };
  return Object.freeze(made);
}

function checkHeaders(name: string, headers: readonly unknown[], secret: boolean): void {
  if (headers.length === 0) {
    throw new TypeError(`credential "${name}": "headers" must name at least one header`);
  }
  for (const header of headers) {
    if (typeof header !== "string" || !headerName.test(header)) {
      throw new TypeError(
        `credential "${name}": a header name must be a lower-case HTTP token, not ${JSON.stringify(header)}`,
      );
    }
    if (reservedHeader.test(header)) {
      throw new TypeError(
        `credential "${name}": "${header}" is a header that HTTP or an RPC protocol uses`,
      );
    }
    if (secret && header.endsWith("-bin")) {
      throw new TypeError(
        `credential "${name}": a secret travels in a text header, "${header}" is binary`,
      );
    }
  }
  if (new Set(headers).size !== headers.length) {
    throw new TypeError(`credential "${name}": "headers" names a header twice`);
  }
}

function bindingOf(name: string, claim: string, declaration: ClaimDeclaration): ClaimBinding {
  const kind = typeof declaration === "object" ? declaration.kind : declaration;
  if (!claimKinds.has(kind)) {
    throw new TypeError(
      `credential "${name}": claim "${claim}" must be one of ${[...claimKinds].join(", ")}, not ${JSON.stringify(kind)}`,
    );
  }
  if (claim === "credential") {
    throw new TypeError(
      `credential "${name}": "credential" names what was proved and cannot be a claim`,
    );
  }
  if (claim === "__proto__") {
    throw new TypeError(`credential "${name}": "__proto__" cannot be a claim`);
  }
  const given: unknown = typeof declaration === "object" ? declaration.binds : [claim];
  if (!Array.isArray(given) || given.some((field) => typeof field !== "string" || field === "")) {
    throw new TypeError(`credential "${name}": "binds" of claim "${claim}" must list field names`);
  }
  const binds: string[] = [...given];
  return Object.freeze({ kind, binds: Object.freeze(binds) });
}

const claimKinds: ReadonlySet<unknown> = new Set<ClaimKind>([
  "string",
  "bigint",
  "number",
  "boolean",
  "bytes",
]);

function checkFields(
  name: string,
  claims: ReadonlyMap<string, ClaimBinding>,
  secretField: string | undefined,
): void {
  if (secretField === "") {
    throw new TypeError(`credential "${name}": "secretField" must name a field`);
  }
  const owners = new Map<string, string>();
  if (secretField !== undefined) {
    owners.set(secretField, "the secret");
  }
  for (const [claim, { binds }] of claims) {
    for (const field of binds) {
      const owner = owners.get(field);
      if (owner !== undefined) {
        throw new TypeError(
          `credential "${name}": field "${field}" is bound by ${owner} and by claim "${claim}"`,
        );
      }
      owners.set(field, `claim "${claim}"`);
    }
  }
}
