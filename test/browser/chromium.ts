import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";

/** Debian's Chromium; another one where the variable says so. */
const executable = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Whether there is a Chromium to test with. In CI there must be one. */
export const hasChromium = existsSync(executable);

if (!hasChromium) {
  const advice = `There is no Chromium at ${executable}: apt-get install chromium`;
  if (process.env.CI) throw new Error(advice);
  console.error(`SKIPPED: the tests in a browser. ${advice}`);
}

/** What Chromium needs where it is root, has no screen, and reaches no other machine. */
const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-port=0",
];

/** A running Chromium. */
export interface RunningChromium extends AsyncDisposable {
  readonly browser: Browser;
}

/**
 * Starts Chromium without what test drivers change in it, so that a tab in the background is one: it is hidden, and its
 * timers are throttled. New contexts have those changes; `browser.contexts()[0]` has not.
 */
export async function startChromium(): Promise<RunningChromium> {
  const profile = await mkdtemp(join(tmpdir(), "countersign-chromium-"));
  const child = spawn(executable, [...flags, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const endpoint = await new Promise<string>((resolve, reject) => {
      let said = "";
      child.stderr.on("data", (part) => {
        said += part;
        const [, url] = /DevTools listening on (ws:\S+)/.exec(said) ?? [];
        if (url !== undefined) resolve(url);
      });
      exited.then(() => reject(new Error(`Chromium did not start: ${said}`)), reject);
    });
    const browser = await chromium.connectOverCDP(endpoint, { noDefaults: true });
    return {
      browser,
      async [Symbol.asyncDispose]() {
        await browser.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
