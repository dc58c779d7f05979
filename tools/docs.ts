/**
 * Writes anew what the Markdown pages repeat from the code: examples and the
 * policies' tables. A test fails while a page holds something else.
 *
 *   npm run docs
 */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { withGenerated } from "./generated-docs.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

for (const page of globSync("{*,docs/*}.md", { cwd: root })) {
  const text = readFileSync(root + page, "utf8");
  const renewed = withGenerated(text);
  if (renewed !== text) {
    writeFileSync(root + page, renewed);
    console.log(`${page} was out of date`);
  }
}
