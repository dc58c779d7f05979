import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { manifest, root } from "./source-tree.ts";

/** What the tests read of an entry of package-lock.json. */
interface Locked {
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const { packages }: { packages: Readonly<Record<string, Locked>> } = JSON.parse(
  readFileSync(`${root}package-lock.json`, "utf8"),
);

/** Tells whether a package that is locked at a place finds another one, as Node looks for it. */
function finds(place: string, name: string): boolean {
  for (let folder = place; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/")))) {
    if (Object.hasOwn(packages, `${folder}${folder === "" ? "" : "/"}node_modules/${name}`)) {
      return true;
    }
    if (folder === "") {
      return false;
    }
  }
}

describe("package-lock.json", () => {
  it("has every package of every platform, without which npm ci refuses it", () => {
    const missing = Object.entries(packages).flatMap(([place, locked]) =>
      Object.keys({ ...locked.dependencies, ...locked.optionalDependencies })
        .filter((name) => !finds(place, name))
        .map((name) => `${name}, for ${place}`),
    );
    expect(missing).toEqual([]);
  });

  it("has the integrity of every package, and the name of no registry", () => {
    const foreign = Object.entries(packages).filter(([place]) => place.includes("node_modules/"));
    const wrong = foreign.filter(
      ([, { link, integrity, resolved }]) =>
        link !== true && (integrity === undefined || resolved !== undefined),
    );
    expect(wrong.map(([place]) => place)).toEqual([]);
  });

  it("has the platform packages of Node without install scripts, for development only", () => {
    const nodes = Object.entries(packages).filter(([place]) =>
      /^node_modules\/node-(bin-)?(linux|darwin|win)/.test(place),
    );
    expect(nodes.length).toBeGreaterThanOrEqual(5);
    expect(nodes.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
    expect(Object.keys(manifest.dependencies)).not.toContain("countersign-node");
  });
});
