import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type ChildLine, spawnWithToken } from "../../../src/appio/launch/child.ts";
import { digestToken, parseToken } from "../../../src/policy/token.ts";

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const token = parseToken("0123456789abcdef".repeat(16));
const hasProc = process.platform === "linux";

/** Starts a child and waits until it has read its token. */
async function start(behaviour: string, stopGraceMs?: number) {
  const lines: ChildLine[] = [];
  let hasRead = () => {};
  const ready = new Promise<void>((resolve) => {
    hasRead = resolve;
  });
  const child = spawnWithToken({
    token,
    command: { command: process.execPath, args: [fixture("child-app.mjs"), behaviour] },
    onLine: (line) => {
      lines.push(line);
      if (lines.length === 2) {
        hasRead();
      }
    },
    ...(stopGraceMs === undefined ? {} : { stopGraceMs }),
  });
  await ready;
  return { child, lines };
}

describe("a child", () => {
  it("gets its token through stdin", async () => {
    const { child, lines } = await start("leave");
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(lines).toContainEqual({ stream: "stdout", text: `digest ${digestToken(token)}` });
  });

  it("has its token blotted out of what it writes", async () => {
    const { child, lines } = await start("leave");
    await child.exited;
    expect(lines).toContainEqual({ stream: "stderr", text: "careless [token]" });
    expect(JSON.stringify(lines)).not.toContain(token);
  });

  it.runIf(hasProc)("shows its token neither in its arguments nor in its environment", async () => {
    const { child } = await start("stay");
    for (const file of ["cmdline", "environ"]) {
      const shown = readFileSync(`/proc/${child.pid}/${file}`, "latin1");
      expect(shown).toContain(file === "cmdline" ? "child-app.mjs" : "PATH=");
      expect(shown).not.toContain(token);
    }
    await child.stop();
  });

  it("is not started with the token in its command", () => {
    for (const command of [
      { command: process.execPath, args: [`--token=${token}`] },
      { command: process.execPath, args: [], env: { TOKEN: token } },
    ]) {
      expect(() => spawnWithToken({ token, command, onLine: () => {} })).toThrow(
        new TypeError('"command" must not contain the token: it is sent through stdin'),
      );
    }
  });

  it("leaves when its stdin ends", async () => {
    const { child, lines } = await start("stay");
    expect(await child.stop()).toEqual({ code: 0, signal: null });
    expect(lines.at(-1)).toEqual({ stream: "stdout", text: "parent is gone" });
  });

  it("is killed when it stays", async () => {
    const { child } = await start("stubborn", 50);
    expect(await child.stop()).toEqual({ code: null, signal: "SIGKILL" });
  });

  it("that cannot be started has ended", async () => {
    const child = spawnWithToken({
      token,
      command: { command: "/nowhere/no-such-program", args: [] },
      onLine: () => {},
    });
    expect(await child.exited).toMatchObject({ code: null, error: { code: "ENOENT" } });
    expect(child.pid).toBeUndefined();
    await child.stop();
  });

  it.runIf(hasProc)("leaves when its parent is killed", async () => {
    const parent = spawn(
      process.execPath,
      [...process.execArgv, fixture("parent.mjs"), fixture("child-app.mjs"), "stay"],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const [line] = await once(createInterface({ input: parent.stdout }), "line");
    const pid = Number(line);
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    // A process that has ended but was not reaped yet still has an entry.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
