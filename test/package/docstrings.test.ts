import ts from "typescript-5.9";
import { describe, expect, it } from "vitest";
import { files, type SourceFile } from "./source-tree.ts";

/** Statements of a file that export what they declare. */
function exportedDeclarations({ tree }: SourceFile): ts.Statement[] {
  return tree.statements.filter(
    (statement) =>
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword),
  );
}

function namesOf(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  }
  const isNamed =
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement);
  return [(isNamed && statement.name?.text) || "default"];
}

function isDocumented(statement: ts.Statement): boolean {
  return ts
    .getJSDocCommentsAndTags(statement)
    .some((doc) => ts.isJSDoc(doc) && ts.getTextOfJSDocComment(doc.comment)?.trim());
}

/** Exported names without a docstring. Of an overloaded function one signature has it. */
function undocumented(file: SourceFile): string[] {
  const documented = new Set<string>();
  const names = new Set<string>();
  for (const statement of exportedDeclarations(file)) {
    for (const name of namesOf(statement)) {
      names.add(name);
      if (isDocumented(statement)) {
        documented.add(name);
      }
    }
  }
  return [...names].filter((name) => !documented.has(name)).map((name) => `${file.path}: ${name}`);
}

describe("every exported name has a docstring", () => {
  it.each(["src/", "gen/"])("in %s", (folder) => {
    const inFolder = [...files.values()].filter(({ path }) => path.startsWith(folder));
    expect(inFolder.flatMap(exportedDeclarations).length).toBeGreaterThan(100);
    expect(inFolder.flatMap(undocumented)).toEqual([]);
  });
});
