import { anyOf, credential, open, requires } from "countersign";
import { describe, expect, it } from "vitest";

const sessionCredential = () =>
  credential("session", {
    header: "mailbox-session",
    secretField: "session",
    claims: { mailboxId: "bigint", name: { kind: "string", binds: ["from", "to"] } },
  });
const session = sessionCredential();

describe("credential", () => {
  it("keeps what it is given, and binds a claim's own name by default", () => {
    const session = sessionCredential();
    expect(session.name).toBe("session");
    expect(session.kind).toBe("secret");
    expect(session.headers).toEqual(["mailbox-session"]);
    expect(session.secretField).toBe("session");
    expect([...session.claims]).toEqual([
      ["mailboxId", { kind: "bigint", binds: ["mailboxId"] }],
      ["name", { kind: "string", binds: ["from", "to"] }],
    ]);
    expect(session.proves()).toBe(session);
  });

  it("is signed when it names several headers", () => {
    const signed = credential("key", { headers: ["key-bin", "time"], claims: {} });
    expect(signed.kind).toBe("signed");
    expect(signed.headers).toEqual(["key-bin", "time"]);
    expect(signed.secretField).toBeUndefined();
  });

  it("cannot be changed afterwards", () => {
    const headers: [string, string] = ["key-bin", "time"];
    const binds = ["from"];
    const made = credential("key", { headers, claims: { name: { kind: "string", binds } } });
    headers[1] = "other";
    binds.push("to");
    expect(made.headers).toEqual(["key-bin", "time"]);
    const claim = made.claims.get("name");
    expect(claim?.binds).toEqual(["from"]);
    expect([made, made.headers, claim, claim?.binds].every(Object.isFrozen)).toBe(true);
  });

  it.each([
    ..."host connection content-type accept accept-encoding te trailer transfer-encoding".split(
      " ",
    ),
    ..."upgrade user-agent cookie set-cookie origin referer sec-fetch-site".split(" "),
    ..."access-control-allow-origin grpc-timeout connect-protocol-version x-grpc-web".split(" "),
    "timeout",
  ])("refuses the header %s, which somebody else reads", (header) => {
    expect(() => credential("c", { header, claims: {} })).toThrow(
      new TypeError(`credential "c": "${header}" is a header that HTTP or an RPC protocol uses`),
    );
  });

  it.each(["x-host", "hosts", "te-token", "my-cookie", "ogrpc-a", "a.b_c~1"])(
    "takes the header %s",
    (header) => {
      expect(credential("c", { header, claims: {} }).headers).toEqual([header]);
    },
  );

  it.each(["", "a b", "a:b", "ä", "a\n", "(a)", ":path"])("refuses the header %j", (header) => {
    expect(() => credential("c", { header, claims: {} })).toThrow(
      `credential "c": a header name must be a lower-case HTTP token, not ${JSON.stringify(header)}`,
    );
  });

  it.each<[string, () => unknown, string]>([
    ["no name", () => credential("", { header: "a", claims: {} }), "a credential needs a name"],
    [
      "a name that is no string",
      () => credential(7 as never, { header: "a", claims: {} }),
      "a credential needs a name",
    ],
    [
      "a header that is no string",
      () => credential("c", { header: 7 as never, claims: {} }),
      'credential "c": a header name must be a lower-case HTTP token, not 7',
    ],
    [
      "a bound field without a name",
      () => credential("c", { header: "a", claims: { b: { kind: "string", binds: [""] } } }),
      'credential "c": "binds" of claim "b" must list field names',
    ],
    [
      "a bound field that is no string",
      () =>
        credential("c", {
          header: "a",
          claims: { b: { kind: "string", binds: ["a", 7 as never] } },
        }),
      'credential "c": "binds" of claim "b" must list field names',
    ],
    [
      "bound fields that are no list",
      () => credential("c", { header: "a", claims: { b: { kind: "string" } as never } }),
      'credential "c": "binds" of claim "b" must list field names',
    ],
    [
      "a secret field without a name",
      () => credential("c", { header: "a", secretField: "", claims: {} }),
      'credential "c": "secretField" must name a field',
    ],
    [
      "an upper-case header",
      () => credential("c", { header: "X-Token", claims: {} }),
      'credential "c": a header name must be a lower-case HTTP token, not "X-Token"',
    ],
    [
      "no header",
      () => credential("c", { headers: [] as never, claims: {} }),
      'credential "c": "headers" must name at least one header',
    ],
    [
      "a header of gRPC",
      () => credential("c", { header: "grpc-timeout", claims: {} }),
      'credential "c": "grpc-timeout" is a header that HTTP or an RPC protocol uses',
    ],
    [
      "a secret in a binary header",
      () => credential("c", { header: "a-bin", claims: {} }),
      'credential "c": a secret travels in a text header, "a-bin" is binary',
    ],
    [
      "a header twice",
      () => credential("c", { headers: ["a", "a"], claims: {} }),
      'credential "c": "headers" names a header twice',
    ],
    [
      "an unknown kind",
      () => credential("c", { header: "a", claims: { at: "date" as never } }),
      'credential "c": claim "at" must be one of string, bigint, number, boolean, bytes, not "date"',
    ],
    [
      "a claim that hides what was proved",
      () => credential("c", { header: "a", claims: { credential: "string" } }),
      'credential "c": "credential" names what was proved and cannot be a claim',
    ],
    [
      "a claim that would be no property",
      () => credential("c", { header: "a", claims: { ["__proto__"]: "string" } }),
      'credential "c": "__proto__" cannot be a claim',
    ],
    [
      "a field bound twice",
      () =>
        credential("c", {
          header: "a",
          claims: { a: { kind: "string", binds: ["x"] }, b: { kind: "string", binds: ["x"] } },
        }),
      'credential "c": field "x" is bound by claim "a" and by claim "b"',
    ],
    [
      "a field bound by the secret and a claim",
      () => credential("c", { header: "a", secretField: "x", claims: { x: "string" } }),
      'credential "c": field "x" is bound by the secret and by claim "x"',
    ],
  ])("refuses %s", (_what, make, text) => {
    expect(make).toThrow(new TypeError(text));
  });
});

describe("requires and anyOf", () => {
  const other = credential("other", { header: "mailbox-other", claims: {} });

  it("name their credentials", () => {
    expect(requires(session).credentials).toEqual([session]);
    expect(anyOf([session, other]).credentials).toEqual([session, other]);
    expect(open.kind).toBe("open");
  });

  it("keep the reasons of exceptions", () => {
    const rule = requires(session, { unbound: "an archive" });
    expect(rule.isUnbound).toBe(true);
    expect(rule.reasons).toEqual({ unbound: "an archive" });
    expect(requires(session).isUnbound).toBe(false);
  });

  it("cannot be changed afterwards", () => {
    const rule = anyOf([session, other], { unbound: "an archive" });
    expect([rule, rule.credentials, rule.reasons].every(Object.isFrozen)).toBe(true);
    expect(Object.isFrozen(open)).toBe(true);
  });

  it.each<[string, () => unknown, string]>([
    [
      "a look-alike of a credential",
      () => requires({ name: "session", claims: {} } as never),
      "requires needs a credential made by credential(...)",
    ],
    [
      "a credential without a name",
      () => anyOf([session, { claims: new Map(), headers: [] } as never]),
      "anyOf needs a credential made by credential(...)",
    ],
    [
      "an empty reason for a field that lacks",
      () => requires(session, { lacksField: "" }),
      'requires: "lacksField" must be a reason in words',
    ],
    ["no list", () => anyOf({ length: 2 } as never), "anyOf needs at least two credentials"],
    [
      "no credential",
      () => requires(undefined as never),
      "requires needs a credential made by credential(...)",
    ],
    [
      "an empty reason",
      () => requires(session, { unbound: " " }),
      'requires: "unbound" must be a reason in words',
    ],
    [
      "true for a reason",
      () => requires(session, { reachesAny: true as never }),
      'requires: "reachesAny" must be a reason in words',
    ],
    ["one of anyOf", () => anyOf([session] as never), "anyOf needs at least two credentials"],
    [
      "two of one name",
      () => anyOf([session, credential("session", { header: "b", claims: {} })]),
      "anyOf was given two credentials of one name",
    ],
    [
      "two that share a header",
      () => anyOf([session, credential("b", { header: "mailbox-session", claims: {} })]),
      "anyOf was given two credentials that share a header",
    ],
  ])("refuse %s", (_what, make, text) => {
    expect(make).toThrow(new TypeError(text));
  });
});
