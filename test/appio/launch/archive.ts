import { gzipSync } from "node:zlib";
import { Header } from "tar";

/** One entry of an archive. */
export interface Entry {
  readonly path: string;
  readonly content?: string | Uint8Array;
  readonly type?: "File" | "SymbolicLink" | "Link" | "Directory" | "CharacterDevice";
  readonly linkpath?: string;
}

/** A gzipped tar archive, entry by entry, so that it can hold what no packer writes. */
export function archive(entries: readonly Entry[]): Uint8Array {
  const blocks = entries.flatMap(({ path, content = "", type = "File", linkpath }) => {
    const body = Buffer.from(content);
    const header = new Header({
      path,
      type,
      size: body.length,
      mode: 0o644,
      mtime: new Date(0),
      ...(linkpath === undefined ? {} : { linkpath }),
    });
    header.encode();
    const padding = Buffer.alloc((512 - (body.length % 512)) % 512);
    return [header.block ?? Buffer.alloc(0), body, padding];
  });
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}

/** An app bundle of a package.json's `countersign` section and some modules. */
export function appBundle(section: object, modules: Readonly<Record<string, string>>): Uint8Array {
  const manifest = { name: "test-app", version: "1.0.0", type: "module", countersign: section };
  return archive([
    { path: "package/package.json", content: JSON.stringify(manifest) },
    ...Object.entries(modules).map(([path, content]) => ({ path: `package/${path}`, content })),
  ]);
}
