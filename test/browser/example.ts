import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** `npm run example:browser`, with ports of its own. */
export function startExample(rounds: number) {
  const main = fileURLToPath(new URL("../../examples/browser/main.ts", import.meta.url));
  const ports = ["--page-port", "0", "--node-port", "0"];
  const child = spawn(
    process.execPath,
    ["-C", "countersign-source", main, ...ports, "--rounds", String(rounds)],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const lines: string[] = [];
  let errors = "";
  child.stderr.on("data", (part) => {
    errors += part;
  });
  const ended = once(child, "close").then(([code]) => ({ code, lines, errors }));
  const pageUrl = new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line);
      const [url] = /http:\S+\/\?node=\S+/.exec(line) ?? [];
      if (url !== undefined) resolve(url);
    });
    void ended.then(() => reject(new Error(`The example has ended: ${errors}`)));
  });
  return {
    /** The page's URL, as the example prints it. */
    pageUrl,
    ended,
    /** Stops the example as Ctrl-C does, if it still runs. */
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
