import { expect, it } from "vitest";
import { PublicKeyCache } from "../../../src/appio/credentials/public-key-cache.ts";
import { newKey, pemOf } from "./keys.ts";

const [first, second, third] = [newKey(), newKey(), newKey()].map((key) => Buffer.from(pemOf(key)));

it("parses a key once, and forgets the one that was not used for longest", () => {
  const cache = new PublicKeyCache(2);
  const [a, b, c] = [first, second, third].map((pem) => pem ?? Buffer.alloc(0));
  if (a === undefined || b === undefined || c === undefined) {
    throw new Error("three keys were made");
  }
  const parsed = cache.parse(a);
  expect(parsed?.pem).toBe(a.toString());
  cache.parse(b);
  expect(cache.parse(a)).toBe(parsed);
  const parsedAgain = cache.parse(b);
  cache.parse(a);
  cache.parse(c);
  expect(cache.size).toBe(2);
  expect(cache.parse(a)).toBe(parsed);
  expect(cache.parse(b)).not.toBe(parsedAgain);
});

it("does not remember what is no key", () => {
  const cache = new PublicKeyCache();
  expect(cache.parse(Buffer.from("no key"))).toBeUndefined();
  expect(cache.size).toBe(0);
});
