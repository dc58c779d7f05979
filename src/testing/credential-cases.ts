import type { DescMethod } from "@bufbuild/protobuf";
import { encodeBinaryHeader } from "@connectrpc/connect";
import type { SignCall } from "../client/client-credentials.ts";
import type { AnyCredential, ClaimValue } from "../policy/credential.ts";
import type { HeaderEntries } from "./raw-request.ts";

/**
 * A credential as it is presented: the secret of a secret credential, or what
 * makes the headers of a signed one for each call. Not only tokens that are well
 * formed: what an attack presents need not be.
 */
export type PresentedCredential =
  | string
  | ((
      call: SignCall,
    ) =>
      | Readonly<Record<string, string | Uint8Array>>
      | Promise<Readonly<Record<string, string | Uint8Array>>>);

/** A credential that the server accepts, and what it proves there. */
export interface LiveCredential {
  readonly presented: PresentedCredential;
  /** The claims that it proves, by name; those that bind request fields are needed. */
  readonly claims: Readonly<Record<string, ClaimValue>>;
}

/** What an attack has of one of the policies' credentials. */
export interface CredentialMaterial {
  /**
   * One that the server accepts. Hostile values are then made of it (twice, joined
   * with a comma, in the wrong case), and with it requests name what is another
   * caller's. Without it, values are made of one that nobody has issued.
   */
  readonly live?: LiveCredential;
  /** Those that the server must refuse, by what they are: `expired`, `revoked`. */
  readonly refused?: Readonly<Record<string, PresentedCredential>>;
}

/** What an attack has of the policies' credentials, by their names. */
export type CredentialMaterials = Readonly<Record<string, CredentialMaterial>>;

/** One hostile way to present a credential. */
export interface CredentialCase {
  readonly name: string;
  /** Makes the headers for a call. */
  present(method: DescMethod): Promise<HeaderEntries>;
}

const garbage = "~!".repeat(2048);

/** The headers of a credential as it is presented for a call. */
export async function presentedHeaders(
  credential: AnyCredential,
  presented: PresentedCredential,
  method: DescMethod,
): Promise<HeaderEntries> {
  if (typeof presented === "string") {
    return credential.headers.map((name) => [name, presented]);
  }
  const values = await presented({ method, now: Date.now });
  return Object.entries(values).map(([name, value]) => [
    name,
    typeof value === "string" ? value : encodeBinaryHeader(value),
  ]);
}

/** Every hostile way to present one of the credentials that an RPC takes. */
export function credentialCases(
  credentials: readonly AnyCredential[],
  materials: CredentialMaterials,
): readonly CredentialCase[] {
  const isAlone = credentials.length === 1;
  const cases = credentials.flatMap((credential) =>
    casesOf(credential, materials[credential.name] ?? {}).map(({ name, present }) => ({
      name: isAlone ? name : `${credential.name}: ${name}`,
      present,
    })),
  );
  const none: CredentialCase = { name: "no header", present: async () => [] };
  return isAlone ? [none, ...cases] : [none, ...cases, allAtOnce(credentials, materials)];
}

function allAtOnce(
  credentials: readonly AnyCredential[],
  materials: CredentialMaterials,
): CredentialCase {
  return {
    name: "all credentials at once",
    present: async (method) => {
      const parts = credentials.map((one) => baseOf(one, materials[one.name] ?? {})(method));
      return (await Promise.all(parts)).flat();
    },
  };
}

type Present = CredentialCase["present"];

/** What the hostile values are made of: a live credential if there is one. */
function baseOf(credential: AnyCredential, { live }: CredentialMaterial): Present {
  return live === undefined
    ? async () => unknownHeaders(credential)
    : (method) => presentedHeaders(credential, live.presented, method);
}

/** A well-formed credential that nobody has issued. */
function unknownHeaders({ headers }: AnyCredential): HeaderEntries {
  return headers.map((name) => [
    name,
    name.endsWith("-bin") ? encodeBinaryHeader(new Uint8Array(64)) : "0".repeat(256),
  ]);
}

function casesOf(credential: AnyCredential, material: CredentialMaterial): CredentialCase[] {
  const base = baseOf(credential, material);
  const of = (name: string, change: (entries: HeaderEntries) => HeaderEntries): CredentialCase => ({
    name,
    present: async (method) => change(await base(method)),
  });
  const each = (name: string, change: (value: string, header: string) => string) =>
    of(name, (entries) => entries.map(([header, value]) => [header, change(value, header)]));
  const [unknown] = unknownHeaders(credential);
  const isSigned = credential.headers.length > 1;
  return [
    ...(isSigned
      ? credential.headers.map((name) =>
          of(`without ${name}`, (entries) => entries.filter(([header]) => header !== name)),
        )
      : []),
    each("an empty value", () => ""),
    each("a blank value", () => "   "),
    of("the same twice", (entries) => [...entries, ...entries]),
    of("two different ones", (entries) => [
      ...entries,
      ...(unknown === undefined ? [] : [unknown]),
    ]),
    each("two joined with a comma", (value) => `${value}, ${value}`),
    of("under the -bin name", (entries) => entries.map(otherKind)),
    each("in the wrong case", swapCase),
    each("4 KB of garbage", () => garbage),
    { name: "an unknown one", present: async () => unknownHeaders(credential) },
    ...Object.entries(material.refused ?? {}).map(([name, presented]) => ({
      name,
      present: (method: DescMethod) => presentedHeaders(credential, presented, method),
    })),
  ];
}

/** Text as bytes under the name with `-bin`, and bytes as text under the name without. */
function otherKind([name, value]: readonly [string, string]): [string, string] {
  return name.endsWith("-bin")
    ? [name.slice(0, -4), value]
    : [`${name}-bin`, encodeBinaryHeader(Buffer.from(value))];
}

/** The value with its letters in the other case; without letters, with a letter more. */
function swapCase(value: string): string {
  const swapped = value.replace(/[a-z]/gi, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );
  return swapped === value ? `${value}A` : swapped;
}
