import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const plugin = ["-C", "countersign-source", join(root, "src/codegen/main.ts")];

/** What {@link Project.generate} can be told besides. */
export interface GenerateOptions {
  /** Folders inside the input to generate; default: all. */
  readonly paths?: readonly string[];
  /** More options for our plugin only. */
  readonly ours?: readonly string[];
}

/** An empty project that has our package and its peers installed. */
export interface Project {
  readonly directory: string;
  /** Runs buf with both plugins on the protos of a folder of ours. */
  generate(input: string, out: string, opt: string[], more?: GenerateOptions): Promise<void>;
  /** Writes a file. */
  write(path: string, content: string): Promise<void>;
  /**
   * Runs the compiler on files; resolves to its complaints about files of the
   * project. Our package's sources stand for its declarations: what they need
   * to compile is checked elsewhere.
   */
  compile(files: string[], options?: object): Promise<string[]>;
  /** Runs a file in Node; resolves to its output. */
  run(file: string): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function createProject(): Promise<Project> {
  const directory = await mkdtemp(join(tmpdir(), "countersign-codegen-"));
  await mkdir(join(directory, "node_modules"));
  for (const name of ["@bufbuild", "@connectrpc"]) {
    await symlink(join(root, "node_modules", name), join(directory, "node_modules", name));
  }
  await symlink(root, join(directory, "node_modules/countersign"));
  const write = (path: string, content: string) => writeFile(join(directory, path), content);
  await write("package.json", '{ "type": "module" }');
  return {
    directory,
    write,
    async generate(input, out, opt, { paths = [], ours = [] } = {}) {
      const plugins = [
        { local: join(root, "node_modules/.bin/protoc-gen-es"), out, opt },
        { local: [process.execPath, ...plugin], out, opt: [...opt, ...ours] },
      ];
      const template = JSON.stringify({ version: "v2", plugins });
      const buf = join(root, "node_modules/.bin/buf");
      const args = ["generate", join(root, input), "--template", template, "--output", directory];
      const only = paths.flatMap((path) => ["--path", join(root, input, path)]);
      await run(process.execPath, [buf, ...args, ...only], { env: withNodeOf(process.execPath) });
    },
    async compile(files, options = {}) {
      const compilerOptions = {
        target: "es2023",
        lib: ["es2023", "esnext.disposable", "dom", "dom.iterable", "dom.asynciterable"],
        module: "nodenext",
        customConditions: ["countersign-source"],
        types: [],
        strict: true,
        noEmit: true,
        noUnusedLocals: true,
        noUnusedParameters: true,
        noImplicitOverride: true,
        noImplicitReturns: true,
        exactOptionalPropertyTypes: true,
        verbatimModuleSyntax: true,
        erasableSyntaxOnly: true,
        isolatedModules: true,
        allowImportingTsExtensions: true,
        skipLibCheck: true,
        ...options,
      };
      await write("tsconfig.json", JSON.stringify({ compilerOptions, files }));
      const tsc = join(root, "node_modules/typescript/bin/tsc");
      const done = await run(process.execPath, [tsc], { cwd: directory }).catch(
        (failed: { stdout: string; stderr: string }) => failed,
      );
      const lines = `${done.stdout}${done.stderr}`.split("\n");
      return lines.filter((line) => line !== "" && !line.startsWith("../"));
    },
    async run(file) {
      const args = ["-C", "countersign-source", join(directory, file)];
      return (await run(process.execPath, args)).stdout;
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

/** protoc-gen-es finds its Node on the path. */
function withNodeOf(execPath: string): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${join(execPath, "..")}:${process.env.PATH}` };
}
