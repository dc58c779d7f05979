import ts from "typescript-5.9";
import { describe, expect, it } from "vitest";
import { entries, files, manifest } from "./source-tree.ts";

/** What a file exports: `name` for a value, `type name` for a type. */
function exportsOf(path: string): string[] {
  const { tree } = files.get(path) ?? expect.fail(`${path} is missing`);
  return tree.statements
    .flatMap((statement): string[] => {
      if (ts.isExportDeclaration(statement)) {
        const { exportClause, isTypeOnly } = statement;
        if (exportClause === undefined || !ts.isNamedExports(exportClause)) {
          return expect.fail(`${path} exports everything of a file: names must be listed`);
        }
        return exportClause.elements.map((each) =>
          isTypeOnly || each.isTypeOnly ? `type ${each.name.text}` : each.name.text,
        );
      }
      const isExported =
        ts.canHaveModifiers(statement) &&
        ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
      if (!isExported) {
        return [];
      }
      if (ts.isVariableStatement(statement)) {
        return statement.declarationList.declarations.map(({ name }) => name.getText());
      }
      if (ts.isClassDeclaration(statement) || ts.isFunctionDeclaration(statement)) {
        return [statement.name?.text ?? "default"];
      }
      return ts.isTypeAliasDeclaration(statement) || ts.isInterfaceDeclaration(statement)
        ? [`type ${statement.name.text}`]
        : expect.fail(`${path} exports in a way that this test does not know`);
    })
    .sort();
}

const generated = [...files.keys()].filter((path) => path.startsWith("gen/"));

describe("the public names", () => {
  it("are the ones that are listed: what is added or lost here is seen by users", async () => {
    const modules = [
      ...entries,
      ...generated.map((path) => [`countersign/${path.replace(/\.ts$/, "")}`, path] as const),
    ];
    const text = modules.map(([name, path]) =>
      [name, ...exportsOf(path).map((each) => `  ${each}`), ""].join("\n"),
    );
    await expect(text.join("\n")).toMatchFileSnapshot("public-names.txt");
  });

  it.each([...entries])("%s: the listed values are there at run time", async (name, path) => {
    const values = exportsOf(path).filter((each) => !each.startsWith("type "));
    expect(Object.keys(await import(name)).sort()).toEqual(values);
  });

  it("come from the subpaths of package.json, each with its source, types and code", () => {
    for (const [subpath, target] of Object.entries(manifest.exports)) {
      if (subpath === "./package.json") {
        expect(target).toBe("./package.json");
        continue;
      }
      const source = typeof target === "string" ? "" : (target["countersign-source"] ?? "");
      const built = source.replace(/^\.\//, "./dist/").replace(/\.ts$/, "");
      expect(target, subpath).toEqual({
        "countersign-source": source,
        types: `${built}.d.ts`,
        default: `${built}.js`,
      });
    }
  });
});
