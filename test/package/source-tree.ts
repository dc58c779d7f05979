import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { fileURLToPath } from "node:url";
// TypeScript 7 has no parser for JavaScript programs to call.
import ts from "typescript-5.9";

/** The repository, with a slash at the end. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

/** What the tests read of package.json. */
interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

/** The package's own package.json. */
export const manifest: Manifest = JSON.parse(readFileSync(`${root}package.json`, "utf8"));

/** One file of src/ or gen/. */
export interface SourceFile {
  /** Path in the repository, such as `src/index.ts`. */
  readonly path: string;
  /** Its syntax tree. */
  readonly tree: ts.SourceFile;
  /** Files of this repository that it imports, for values or for types, statically or not. */
  readonly imports: readonly string[];
  /** Those of them that it imports by the package's own name. */
  readonly byName: readonly string[];
  /** Names of modules of other packages and of Node that it imports. */
  readonly foreign: readonly string[];
  /** Whether it imports something that is only known when it runs. */
  readonly importsAtWill: boolean;
}

/** The subpaths that the package exports, with the source file of each; those with a `*` are left out. */
export const entries: ReadonlyMap<string, string> = new Map(
  Object.entries(manifest.exports).flatMap(([subpath, target]) => {
    const source = typeof target === "string" ? undefined : target["countersign-source"];
    return source === undefined || source.includes("*")
      ? []
      : [[join("countersign", subpath), join(source)] as const];
  }),
);

/** Every file of src/ and gen/, by path. */
export const files: ReadonlyMap<string, SourceFile> = new Map(
  globSync("{src,gen}/**/*.ts", { cwd: root })
    .sort()
    .map((path) => [path, read(path)]),
);

/** The files that a file reaches through imports, itself included. */
export function reachedFrom(path: string): ReadonlySet<string> {
  const reached = new Set([path]);
  for (const each of reached) {
    for (const next of files.get(each)?.imports ?? []) {
      reached.add(next);
    }
  }
  return reached;
}

function read(path: string): SourceFile {
  const text = readFileSync(root + path, "utf8");
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imports = new Set<string>();
  const byName = new Set<string>();
  const foreign = new Set<string>();
  let importsAtWill = false;
  const add = (specifier: ts.Node | undefined): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) {
      importsAtWill = true;
    } else if (specifier.text.startsWith(".")) {
      imports.add(join(dirname(path), specifier.text));
    } else {
      const own = entries.get(specifier.text);
      if (own === undefined) {
        foreign.add(specifier.text);
      } else {
        imports.add(own);
        byName.add(own);
      }
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      add(node.moduleSpecifier);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0]);
    } else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined);
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return {
    path,
    tree,
    imports: [...imports],
    byName: [...byName],
    foreign: [...foreign],
    importsAtWill,
  };
}
