import { base64Decode } from "@bufbuild/protobuf/wire";
import type { AnyCredential } from "../policy/credential.ts";
import type { Rule } from "../policy/rule.ts";
import { isToken, type Token } from "../policy/token.ts";

/**
 * Where a decision reads headers from: every entry of a name, in order. A list
 * of two is what lets a repeated header be refused.
 */
export type HeaderSource = (name: string) => readonly string[];

/** What a caller presents: the secret, or the header values of a signed credential. */
export type PresentedValue = Token | Readonly<Record<string, string | Uint8Array>>;

/** What a rule and the headers of a call lead to, before anything is verified. */
export type Decision =
  | { readonly kind: "allow" }
  | { readonly kind: "refuse"; readonly reason: string; readonly credential: string | undefined }
  | {
      readonly kind: "verify";
      readonly credential: AnyCredential;
      readonly presented: PresentedValue;
    };

/** What a call shows of one credential. */
type Shown = Exclude<Decision, { readonly kind: "allow" }>;

const allow: Decision = Object.freeze({ kind: "allow" });
const noValues: readonly string[] = Object.freeze([]);

/**
 * Decides what a rule and the headers of a call lead to. Pure: it knows no
 * transport and asks nobody. No rule (an RPC that no policy has) refuses.
 */
export function decide(rule: Rule | undefined, headers: HeaderSource): Decision {
  if (rule === undefined) {
    return { kind: "refuse", reason: "unknown RPC", credential: undefined };
  }
  if (rule.kind === "open") {
    return allow;
  }
  let found: Shown | undefined;
  for (const credential of rule.credentials) {
    const shown = shownOf(credential, headers);
    if (shown === undefined) {
      continue;
    }
    if (found !== undefined) {
      return { kind: "refuse", reason: "several credentials", credential: undefined };
    }
    found = shown;
  }
  if (found === undefined) {
    const [only, ...others] = rule.credentials;
    return {
      kind: "refuse",
      reason: "missing",
      credential: others.length === 0 ? only?.name : undefined,
    };
  }
  return found;
}

/** Returns what a call presents of a credential; undefined if that is nothing, or nothing well-formed. */
export function presentedOf(
  credential: AnyCredential,
  headers: HeaderSource,
): PresentedValue | undefined {
  const shown = shownOf(credential, headers);
  return shown?.kind === "verify" ? shown.presented : undefined;
}

/** Undefined if none of the credential's headers is there. */
function shownOf(credential: AnyCredential, headers: HeaderSource): Shown | undefined {
  if (credential.kind === "secret") {
    const [name = ""] = credential.headers;
    const values = headers(name);
    return values.length === 0 ? undefined : asShown(credential, wellFormed(name, values));
  }
  const entries = credential.headers.map((name) => ({ name, values: headers(name) }));
  return entries.every(({ values }) => values.length === 0)
    ? undefined
    : asShown(credential, wellFormedAll(entries));
}

function asShown(credential: AnyCredential, presented: PresentedValue | Malformed): Shown {
  return presented instanceof Malformed
    ? { kind: "refuse", reason: presented.reason, credential: credential.name }
    : { kind: "verify", credential, presented };
}

/** What is wrong with a header. */
class Malformed {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

/** The values of a signed credential's headers, or what is wrong with the first that is not well-formed. */
function wellFormedAll(
  entries: readonly { readonly name: string; readonly values: readonly string[] }[],
): PresentedValue | Malformed {
  const shown: Record<string, string | Uint8Array> = Object.create(null);
  for (const { name, values } of entries) {
    const value = wellFormed(name, values);
    if (value instanceof Malformed) {
      return value;
    }
    const parsed = name.endsWith("-bin") ? bytesOf(value) : value;
    if (parsed === undefined) {
      return new Malformed(`header ${name} is not base64`);
    }
    shown[name] = parsed;
  }
  return Object.freeze(shown);
}

/** The one value of a header, or what is wrong with it. */
function wellFormed(name: string, values: readonly string[]): Token | Malformed {
  const value = values[0];
  if (value === undefined) {
    return new Malformed(`header ${name} is missing`);
  }
  if (values.length > 1) {
    return new Malformed(`header ${name} was sent ${values.length} times`);
  }
  // What is no token is no header value of ours either: a comma or a blank
  // could hide a repeated header that somebody on the way has joined.
  if (!isToken(value)) {
    return new Malformed(value === "" ? `header ${name} is empty` : `header ${name} is malformed`);
  }
  return value;
}

/** Decodes a `-bin` header; gRPC allows base64 with and without padding. */
function bytesOf(value: string): Uint8Array | undefined {
  try {
    return base64Decode(value);
  } catch {
    return undefined;
  }
}

/**
 * Reads from a `Headers` object. It has joined repeated headers with ", ", which
 * {@link decide} refuses as malformed.
 */
export function headersSource(headers: Headers): HeaderSource {
  return (name) => {
    const value = headers.get(name);
    return value === null ? noValues : [value];
  };
}

/** Reads from raw header entries, in which a repeated header still is two. */
export function rawHeadersSource(entries: readonly (readonly [string, string])[]): HeaderSource {
  return (name) => {
    let values: string[] | undefined;
    for (const [key, value] of entries) {
      if (isNamed(key, name)) {
        values = collect(values, value);
      }
    }
    return values ?? noValues;
  };
}

/** Compares a name as it was sent with one in lower case. */
function isNamed(key: string, name: string): boolean {
  return key.length === name.length && (key === name || key.toLowerCase() === name);
}

function collect(values: string[] | undefined, value: string): string[] {
  if (values === undefined) {
    return [value];
  }
  values.push(value);
  return values;
}
