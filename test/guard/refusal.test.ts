import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import {
  authenticationFailed,
  permissionDenied,
  verificationUnavailable,
} from "../../src/guard/refusal.ts";

describe("refusals", () => {
  it("have one code and one text each", () => {
    const all = [authenticationFailed(), permissionDenied(), verificationUnavailable()];
    expect(all.map(({ code, rawMessage }) => [code, rawMessage])).toEqual([
      [Code.Unauthenticated, "Authentication failed."],
      [Code.PermissionDenied, "Permission denied."],
      [Code.Unavailable, "The credential cannot be verified at present."],
    ]);
  });

  it("that anybody can ask for have no stack", () => {
    expect(authenticationFailed().stack).not.toContain("\n");
    expect(verificationUnavailable().stack).not.toContain("\n");
    expect(new Error("another").stack).toContain("\n");
  });

  it("are made all the same where stacks have no limit to set", () => {
    const before = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit") ?? {};
    Reflect.deleteProperty(Error, "stackTraceLimit");
    try {
      expect(authenticationFailed().code).toBe(Code.Unauthenticated);
      expect(Object.hasOwn(Error, "stackTraceLimit")).toBe(false);
    } finally {
      Object.defineProperty(Error, "stackTraceLimit", before);
    }
  });
});
