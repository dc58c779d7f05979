import { createRequire } from "node:module";
import { createEcmaScriptPlugin } from "@bufbuild/protoplugin";
import { type CountersignPluginOptions, generateClients } from "./generate-clients.ts";

const { version }: { version: string } = createRequire(import.meta.url)("countersign/package.json");

/**
 * The buf plugin `protoc-gen-countersign`: for every file with services it
 * writes, beside protoc-gen-es' `foo_pb`, a file `foo_countersign` with one
 * client class per service.
 */
export const protocGenCountersign = createEcmaScriptPlugin<CountersignPluginOptions>({
  name: "protoc-gen-countersign",
  version: `v${version}`,
  parseOptions,
  generateTs: generateClients,
  generateJs: generateClients,
  generateDts: generateClients,
});

function parseOptions(raw: { key: string; value: string }[]): CountersignPluginOptions {
  let runtimeImport = "countersign";
  for (const { key, value } of raw) {
    if (key !== "runtime_import" || value === "") {
      // protoplugin names the option and adds this text.
      throw new Error('the one option of its own is "runtime_import", a module to import from');
    }
    runtimeImport = value;
  }
  return { runtimeImport };
}
