import { execFile } from "node:child_process";
import { mkdtemp, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** A file system of a few MiB, in memory, that a test can fill and write-protect. */
export class SmallDisk implements AsyncDisposable {
  readonly directory: string;
  readonly #filler: string;

  private constructor(directory: string) {
    this.directory = directory;
    this.#filler = join(directory, "filler");
  }

  /** Mounts one. Undefined where this user may not. */
  static async mount(mebibytes: number): Promise<SmallDisk | undefined> {
    const directory = await mkdtemp(join(tmpdir(), "countersign-small-disk-"));
    try {
      await execute("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}M`, "tmpfs", directory]);
    } catch {
      await rmdir(directory);
      return undefined;
    }
    return new SmallDisk(directory);
  }

  /** Takes all the space there is. */
  async fill(): Promise<void> {
    const { bavail, bsize } = await statfs(this.directory);
    await writeFile(this.#filler, Buffer.alloc(bavail * bsize));
  }

  /** Gives back what {@link SmallDisk.fill} took. */
  async free(): Promise<void> {
    await rm(this.#filler);
  }

  /** Allows no more writing; no file may be open for it. */
  async protect(): Promise<void> {
    await execute("mount", ["-o", "remount,ro", this.directory]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await execute("umount", ["--lazy", this.directory]);
    await rm(this.directory, { recursive: true, force: true });
  }
}
