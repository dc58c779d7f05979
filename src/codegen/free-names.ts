import type { DescFile } from "@bufbuild/protobuf";
import type { GeneratedFile } from "@bufbuild/protoplugin";

/** The names that generated code gives to things of its own. */
export interface FreeNames {
  /** A type parameter or a function's parameter, renamed if an import has the name. */
  own(name: string): string;
  /** A global of ECMAScript, written out in full if an import has the name. */
  global(name: string): string;
}

/**
 * Finds names that imports do not have. protoplugin keeps imports apart from
 * each other and from exports, but not from parameters and globals: a message
 * may be called `Promise`, and a service `policy`.
 */
export function findFreeNames(f: GeneratedFile, file: DescFile): FreeNames {
  const imported = new Set(
    file.services.flatMap((service) => [
      f.importSchema(service).name,
      ...service.methods.map(({ output }) => f.importShape(output).name),
    ]),
  );
  return {
    // No proto identifier contains a dollar sign.
    own: (name) => (imported.has(name) ? `${name}$` : name),
    global: (name) => (imported.has(name) ? `globalThis.${name}` : name),
  };
}
