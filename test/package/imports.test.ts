import { describe, expect, it } from "vitest";
import { entries, files, manifest, reachedFrom } from "./source-tree.ts";

/** A part of the package: a folder, or a file that stands for itself. */
type Area = string;

/** What each area may import. What is not listed here is above all of these. */
const mayImport: ReadonlyMap<Area, readonly Area[]> = new Map([
  ["gen", []],
  ["policy", []],
  ["guard", ["policy"]],
  ["client", ["policy"]],
  ["authority", ["policy"]],
  ["codegen", []],
  ["index.ts", ["policy", "guard", "client"]],
  ["gen clients", ["gen", "index.ts"]],
  ["serve", ["gen", "policy", "guard"]],
  ["testing", ["policy", "guard", "client"]],
  ["appio/policy.ts", ["gen", "policy"]],
  ["appio/objects", ["gen"]],
  ["appio/runtime", ["gen", "policy", "client", "appio/policy.ts", "appio/objects"]],
  ["appio/state", ["gen", "policy", "authority", "appio/objects"]],
  ["appio/index.ts", ["gen clients", "appio/policy.ts", "appio/objects", "appio/runtime"]],
]);

/** The tops: nothing imports them but what stands beside them. */
const tops: readonly Area[] = ["cli", "appio/index.ts", "appio/node.ts", "codegen", "gen clients"];

/** Areas that run in browsers, and the packages that they may import there. */
const browserSafe: readonly Area[] = [
  "gen",
  "gen clients",
  "policy",
  "guard",
  "client",
  "index.ts",
  "appio/policy.ts",
  "appio/objects",
  "appio/runtime",
  "appio/index.ts",
];
const browserSafePackages = ["@bufbuild/protobuf", "@connectrpc/connect", "@noble/hashes"];

function areaOf(path: string): Area {
  const [top, first = "", second] = path.split("/");
  if (top === "gen") {
    return path.endsWith("_countersign.ts") ? "gen clients" : "gen";
  }
  return first === "appio" ? `appio/${second}` : first;
}

/** `@scope/name/deep` and `name/deep` without what comes after the package. */
function packageOf(specifier: string): string {
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

const all = [...files.values()];

describe("imports", () => {
  it("run downwards only", () => {
    const wrong = all.flatMap(({ path, imports }) => {
      const from = areaOf(path);
      const allowed = mayImport.get(from);
      return imports
        .filter((target) => {
          const to = areaOf(target);
          return to !== from && (allowed === undefined ? isTop(to, from) : !allowed.includes(to));
        })
        .map((target) => `${path} imports ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it("reach the package from gen/ by its name alone, as from a user's own protos", () => {
    const wrong = all
      .filter(({ path }) => path.startsWith("gen/"))
      .flatMap(({ imports, byName }) => imports.filter((target) => !byName.includes(target)))
      .filter((target) => !target.startsWith("gen/"));
    expect(wrong).toEqual([]);
  });

  it("lead to files that exist", () => {
    const missing = all.flatMap(({ imports }) => imports.filter((target) => !files.has(target)));
    expect(missing).toEqual([]);
  });

  it("have no cycle between files", () => {
    const graph = new Map(all.map(({ path, imports }) => [path, imports]));
    expect(cyclesOf(graph)).toEqual([]);
  });

  it("have no cycle between areas", () => {
    const graph = new Map<Area, Area[]>();
    for (const { path, imports } of all) {
      const from = areaOf(path);
      const targets = imports.map(areaOf).filter((to) => to !== from);
      graph.set(from, [...(graph.get(from) ?? []), ...targets]);
    }
    expect(cyclesOf(graph)).toEqual([]);
  });
});

describe("what runs in browsers", () => {
  const start = all.filter(({ path }) => browserSafe.includes(areaOf(path)));

  it("is what the browser-safe entries reach", () => {
    for (const entry of ["countersign", "countersign/appio"]) {
      expect(browserSafe).toContain(areaOf(entries.get(entry) ?? ""));
    }
  });

  it.each(browserSafe)("%s reaches no module of Node and no package for Node only", (area) => {
    const own = start.filter(({ path }) => areaOf(path) === area);
    expect(own.length).toBeGreaterThan(0);
    const reached = new Set(own.flatMap(({ path }) => [...reachedFrom(path)]));
    const wrong = [...reached].flatMap((path) => {
      const { foreign = [], importsAtWill = false } = files.get(path) ?? {};
      return [
        ...foreign.filter((name) => !browserSafePackages.includes(packageOf(name))),
        ...(importsAtWill ? ["what is known at run time only"] : []),
      ].map((name) => `${path} imports ${name}`);
    });
    expect(wrong).toEqual([]);
  });
});

describe("other packages", () => {
  const packagesOf = (belongs: (path: string) => boolean): Set<string> =>
    new Set(
      all
        .filter(({ path }) => belongs(path))
        .flatMap(({ foreign }) => foreign.filter((name) => !name.startsWith("node:")))
        .map(packageOf),
    );

  it("leave the policy with protobuf alone, and the authority without any RPC", () => {
    const inPolicy = packagesOf((path) => areaOf(path) === "policy");
    expect([...inPolicy].sort()).toEqual(["@bufbuild/protobuf", "@noble/hashes"]);
    const inAuthority = packagesOf((path) => areaOf(path) === "authority");
    expect([...inAuthority].filter((name) => /^@(connectrpc|bufbuild)/.test(name))).toEqual([]);
  });

  const used = packagesOf(() => true);
  const { dependencies, peerDependencies } = manifest;

  it("are all dependencies of the published package", () => {
    const declared = { ...dependencies, ...peerDependencies };
    expect([...used].filter((name) => !Object.hasOwn(declared, name))).toEqual([]);
  });

  it("are depended on for a use", () => {
    expect(Object.keys(dependencies).filter((name) => !used.has(name))).toEqual([]);
  });
});

function isTop(to: Area, from: Area): boolean {
  return tops.includes(to) && !(from === "appio/node.ts");
}

/** One cycle through each node that closes one, as `a -> b -> a`. */
function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const walk = (node: string): void => {
    if (path.includes(node)) {
      cycles.push([...path.slice(path.indexOf(node)), node].join(" -> "));
    } else if (!done.has(node)) {
      path.push(node);
      for (const next of new Set(graph.get(node))) {
        walk(next);
      }
      path.pop();
      done.add(node);
    }
  };
  for (const node of graph.keys()) {
    walk(node);
  }
  return cycles;
}
