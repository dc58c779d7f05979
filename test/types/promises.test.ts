// biome-ignore-all lint/suspicious/noTemplateCurlyInString: pieces of source code, looked for in the source.
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CompilerVersion, compile, compilers, root } from "./compile.ts";

const versions: CompilerVersion[] = ["5.9", "6.0", "7.0"];

describe("the type tests of promises 1 to 5", () => {
  it.each(versions)("compile with TypeScript %s", async (version) => {
    expect(compilers[version]).toBeDefined();
    expect(await compile(version, join(root, "test/types"), ["--noEmit", "-p", "."])).toBe("");
  });
});

/** A promise, how to break it in the library's own types, and the type test that then fails. */
interface Break {
  readonly promise: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** A second place, where two parts of a type hold the promise. */
  readonly also?: { readonly from: string; readonly to: string };
  readonly fails: "policy" | "server" | "client" | "appio";
}

const breaks: readonly Break[] = [
  {
    promise: "1: every RPC needs a rule",
    file: "src/policy/policy.ts",
    from: "rules: [Missing<D, R>] extends [never]",
    to: "rules: [never] extends [never]",
    fails: "policy",
  },
  {
    promise: "1: no rule for an RPC that does not exist",
    file: "src/policy/policy.ts",
    from: "Fault<`the service has no RPC ${K & string}`>",
    to: "unknown",
    fails: "policy",
  },
  {
    promise: "1: what is no rule is refused",
    file: "src/policy/policy.ts",
    from: ": Fault<`${K & string} needs a rule: open, requires(...) or anyOf(...)`>",
    to: ": unknown",
    fails: "policy",
  },
  {
    promise: "1: a widened descriptor is refused",
    file: "src/policy/policy.ts",
    from: "(string extends keyof D",
    to: "(number extends keyof D",
    also: {
      from: "type Missing<D extends DescService, R> = ",
      to: 'type Missing<D extends DescService, R> = string extends keyof D["method"] ? never : ',
    },
    fails: "policy",
  },
  {
    promise: "1: a rule decided at run time is refused",
    file: "src/policy/policy.ts",
    from: "[Undecided<R>] extends [never]",
    to: "[never] extends [never]",
    fails: "policy",
  },
  {
    promise: "1: a rule of type any is refused",
    file: "src/policy/policy.ts",
    from: "IsAny<R[K]> extends true\n    ? K",
    to: "IsAny<R[K]> extends true\n    ? never",
    fails: "policy",
  },
  {
    promise: "2: every required verifier is there",
    file: "src/guard/guard.ts",
    from: 'as C["name"]]: Verifier<C>',
    to: 'as C["name"]]?: Verifier<C>',
    fails: "server",
  },
  {
    promise: "2: verifiers prove what the credential says",
    file: "src/guard/guard.ts",
    from: ": Verifier<C>;",
    to: ": (...shown: never) => unknown;",
    fails: "server",
  },
  {
    promise: "2: an array of Service[] is refused",
    file: "src/guard/guard.ts",
    from: 'number extends S["length"]',
    to: 'never[] extends S["length"]',
    fails: "server",
  },
  {
    promise: "2: two credentials of one name are refused",
    file: "src/guard/guard.ts",
    from: "true extends IsUnion<",
    to: "never[] extends IsUnion<",
    fails: "server",
  },
  {
    promise: "3: the handler of an open RPC has no caller",
    file: "src/guard/service.ts",
    from: "    : HandlerContext;",
    to: "    : HandlerContext & { readonly caller?: object };",
    fails: "server",
  },
  {
    promise: "3: the handler of a protected RPC has a typed caller",
    file: "src/guard/service.ts",
    from: "readonly caller: CallerOf<C[number]>",
    to: "readonly caller?: CallerOf<C[number]>",
    fails: "server",
  },
  {
    promise: "4: claimed fields are not in the request",
    file: "src/policy/policy.ts",
    from: 'WithoutBound<MessageShape<M["input"]>, BoundByAll<C>>',
    to: 'MessageShape<M["input"]>',
    fails: "server",
  },
  {
    promise: "4: an unbound RPC keeps its fields",
    file: "src/policy/policy.ts",
    from: 'Unbound extends true\n      ? MessageShape<M["input"]>',
    to: 'Unbound extends never[]\n      ? MessageShape<M["input"]>',
    fails: "server",
  },
  {
    promise: "5: a client needs every credential",
    file: "src/client/client-credentials.ts",
    from: '{ readonly [N in One["name"]]: ClientCredential<One> }',
    to: '{ readonly [N in One["name"]]?: ClientCredential<One> }',
    fails: "client",
  },
  {
    promise: "5: a plain string is no token",
    file: "src/client/client-credentials.ts",
    from: "  ? Token\n",
    to: "  ? string\n",
    fails: "client",
  },
  {
    promise: "5: an open client has the open RPCs only",
    file: "src/policy/policy.ts",
    from: "extends OpenRule ? K : never",
    to: "extends object ? K : never",
    fails: "client",
  },
  {
    promise: "5: a partial client has what its credentials satisfy only",
    file: "src/client/partial-client.ts",
    from: '[CredentialOfRule<P["rules"][K]>["name"] & Names] extends [never]',
    to: "[Names] extends [0]",
    fails: "client",
  },
  {
    promise: "2: who serves the table in which SuperExecs sign verifies them",
    file: "src/appio/policy.ts",
    from: "requestToken: requires(superExecKey),\n  getRun: anyOf([appToken, superExecKey]),\n});\n\n/**\n * ClientAppIo, the API",
    to: "requestToken: open,\n  getRun: anyOf([appToken, superExecKey]),\n});\n\n/**\n * ClientAppIo, the API",
    fails: "appio",
  },
  {
    promise: "2: a key alone is no node",
    file: "src/appio/policy.ts",
    from: "deactivateNode: requires(superNode),",
    to: "deactivateNode: requires(superNodeKey),",
    fails: "appio",
  },
];

describe("a promise that is broken in the library's own types", () => {
  it.each(breaks)(
    "$promise: fails the $fails type test",
    async ({ file, from, to, also, fails }) => {
      const copy = await mkdtemp(join(tmpdir(), "countersign-types-"));
      try {
        for (const part of ["src", "gen", "test/types", "package.json", "tsconfig.json"]) {
          await cp(join(root, part), join(copy, part), { recursive: true });
        }
        await symlink(join(root, "node_modules"), join(copy, "node_modules"));
        const source = await readFile(join(copy, file), "utf8");
        expect(source.split(from), `${file} has exactly one such place`).toHaveLength(2);
        let broken = source.replace(from, () => to);
        if (also !== undefined) {
          expect(broken.split(also.from), `${file} has exactly one such place`).toHaveLength(2);
          broken = broken.replace(also.from, () => also.to);
        }
        await writeFile(join(copy, file), broken);
        const printed = await compile("7.0", join(copy, "test/types"), ["--noEmit", "-p", "."]);
        const failed = printed.match(/^\w+(?=\.test-d\.ts\(\d+)/gm) ?? [];
        expect(new Set(failed)).toContain(fails);
      } finally {
        await rm(copy, { recursive: true });
      }
    },
  );
});
