import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { describe, expect, it } from "vitest";
import { policies, withGenerated } from "../../tools/generated-docs.ts";
import { manifest, root } from "./source-tree.ts";

const pages = globSync("{*,docs/*}.md", { cwd: root }).sort();
const read = (page: string): string => readFileSync(root + page, "utf8");
const readme = read("README.md");

describe.each(pages)("%s", (page) => {
  it("repeats code and policies as they are (npm run docs writes them)", () => {
    expect(read(page)).toBe(withGenerated(read(page)));
  });

  it("links to files that exist", () => {
    const links = [...read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)];
    const missing = links
      .map(([, target = ""]) => join(dirname(page), target))
      .filter((target) => !existsSync(root + target));
    expect(missing).toEqual([]);
  });

  it("names tests and sources that exist", () => {
    const names = [
      ...read(page).matchAll(/`((?:src|test|tools|examples|docs|proto)\/[^`\s*<>]+)`/g),
    ];
    const missing = names.map(([, path = ""]) => path).filter((path) => !existsSync(root + path));
    expect(missing).toEqual([]);
  });
});

describe("README.md", () => {
  it("shows the quick start whole", () => {
    const shown = [...readme.matchAll(/<!-- file: (\S+) -->/g)].map(([, file]) => file);
    expect(shown.sort()).toEqual(globSync("examples/quickstart/*.ts", { cwd: root }).sort());
  });

  it("shows the table of every policy", () => {
    const shown = [...readme.matchAll(/<!-- policy: ([\w ]+) -->/g)].flatMap(([, names = ""]) =>
      names.split(" "),
    );
    expect(shown.sort()).toEqual([...policies.keys()].sort());
  });

  it("gives the reason of every dependency", () => {
    const { dependencies, peerDependencies, devDependencies } = manifest;
    const all = Object.keys({ ...dependencies, ...peerDependencies, ...devDependencies });
    const missing = all.filter((name) => !readme.includes(`\`${name}\``));
    expect(missing).toEqual([]);
  });
});
