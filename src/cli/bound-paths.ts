import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { AnyCredential } from "../policy/credential.ts";

/** A field of a request that a credential binds. */
export interface BoundPath {
  /** The field as the .proto file names it; `[]` stands for every element: `messages_list[].metadata.run_id`. */
  readonly path: string;
  /** The claim whose verified value it must equal, or "secret" for a field that may repeat the credential itself. */
  readonly binds: string;
}

/**
 * Lists what a credential binds in a request, for people to read. The guard does not use this: it walks types itself.
 * A message type inside itself is shown once; the guard binds it at every depth.
 */
export function boundPaths(input: DescMessage, credential: AnyCredential): readonly BoundPath[] {
  const sources = new Map<string, string>();
  if (credential.secretField !== undefined) sources.set(credential.secretField, "secret");
  for (const [claim, { binds }] of credential.claims) {
    for (const field of binds) sources.set(field, claim);
  }
  return pathsIn(input, sources, "", []);
}

function pathsIn(
  message: DescMessage,
  sources: ReadonlyMap<string, string>,
  prefix: string,
  parents: readonly DescMessage[],
): BoundPath[] {
  if (parents.includes(message)) return [];
  return message.fields.flatMap((field) => {
    const path = `${prefix}${field.name}${isMany(field) ? "[]" : ""}`;
    const binds = sources.get(field.localName);
    if (binds !== undefined) return [{ path, binds }];
    return field.message === undefined
      ? []
      : pathsIn(field.message, sources, `${path}.`, [...parents, message]);
  });
}

function isMany(field: DescField): boolean {
  return field.fieldKind === "list" || field.fieldKind === "map";
}
