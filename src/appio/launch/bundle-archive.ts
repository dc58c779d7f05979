import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { Parser, type ReadEntry } from "tar";

/** Most bytes of a packed bundle: Flower's limit for a FAB, 10 MiB. */
export const maxBundleBytes = 10 * 1024 * 1024;

/** Most bytes of a bundle's unpacked archive. A gzip stream can grow a thousandfold, so the packed size is no bound. */
export const maxUnpackedBytes = 100 * 1024 * 1024;

/** Most files in a bundle. */
export const maxBundleFiles = 5_000;

const gunzipBounded = promisify(gunzip);

/**
 * Unpacks a gzipped tar archive in memory.
 *
 * Every entry must be a plain file or a directory with a relative path below `package/`, as `npm pack` writes them;
 * links, devices, paths that leave the archive and two names that one file system would take for the same are refused.
 *
 * @returns file contents by path, without the leading `package/`, in archive order
 * @throws Error when the archive is malformed, too large or holds something else than files and directories
 */
export async function unpackArchive(bytes: Uint8Array): Promise<ReadonlyMap<string, Uint8Array>> {
  if (bytes.byteLength > maxBundleBytes) {
    throw new Error(
      `The app bundle has ${bytes.byteLength} bytes; the limit is ${maxBundleBytes}.`,
    );
  }
  return readEntries(await decompress(bytes));
}

async function decompress(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return await gunzipBounded(bytes, { maxOutputLength: maxUnpackedBytes });
  } catch (error) {
    if (error instanceof RangeError) {
      throw new Error(`The app bundle unpacks to more than ${maxUnpackedBytes} bytes.`);
    }
    throw new Error("The app bundle is no gzipped tar archive: make it with `npm pack`.");
  }
}

function readEntries(archive: Uint8Array): Promise<ReadonlyMap<string, Uint8Array>> {
  return new Promise((resolve, reject) => {
    const files = new Map<string, Uint8Array>();
    const seen = new Set<string>();
    const parser = new Parser({ strict: true });
    parser.on("entry", (entry: ReadEntry) => {
      const parts: Uint8Array[] = [];
      try {
        const path = bundlePath(entry);
        if (path === undefined) {
          entry.resume();
          return;
        }
        // macOS and Windows take names for the same that differ in case or Unicode normalisation only.
        const folded = path.normalize("NFC").toLowerCase();
        if (seen.has(folded)) throw new Error(`The app bundle holds ${show(path)} twice.`);
        if (seen.size >= maxBundleFiles) {
          throw new Error(`The app bundle holds more than ${maxBundleFiles} files.`);
        }
        seen.add(folded);
        entry.on("data", (part: Uint8Array) => parts.push(part));
        entry.on("end", () => files.set(path, Buffer.concat(parts)));
      } catch (error) {
        entry.resume();
        reject(error);
      }
    });
    parser.on("error", (error: Error) => {
      reject(new Error(`The app bundle's archive is malformed: ${error.message}`));
    });
    parser.on("end", () => resolve(files));
    parser.end(Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength));
  });
}

/** The entry's path below `package/`; undefined for a directory, which files imply. */
function bundlePath(entry: ReadEntry): string | undefined {
  const { path, type } = entry;
  if (type !== "File" && type !== "OldFile" && type !== "Directory") {
    throw new Error(`The app bundle holds ${show(path)}, a ${type}: only files are allowed.`);
  }
  const segments = (type === "Directory" ? path.replace(/\/$/, "") : path).split("/");
  const [root, ...rest] = segments;
  const unsafe = segments.some((segment) => segment === "" || segment === "." || segment === "..");
  // Backslashes and colons separate paths, name drives or alternate streams on Windows.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (unsafe || root !== "package" || /[\u0000-\u001f\u007f\\:]/.test(path)) {
    throw new Error(`The app bundle holds the path ${show(path)}, which is not below package/.`);
  }
  if (type === "Directory") return undefined;
  if (rest.length === 0) throw new Error("The app bundle holds a file named package.");
  return rest.join("/");
}

function show(path: string): string {
  return JSON.stringify(path.length > 100 ? `${path.slice(0, 100)}...` : path);
}
