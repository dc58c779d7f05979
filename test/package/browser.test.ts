import { join } from "node:path";
import { expect, it } from "vitest";
import { compile, root } from "../types/compile.ts";

it("what runs in browsers compiles without Node's types: it uses none of its globals", async () => {
  expect(await compile("7.0", join(root, "test/package"), ["-p", "tsconfig.browser.json"])).toBe(
    "",
  );
});
