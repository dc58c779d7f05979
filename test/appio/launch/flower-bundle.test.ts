import { strToU8, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { describeBundle } from "../../../src/appio/launch/bundle-description.ts";
import { appBundle } from "./archive.ts";
import { flowerArchive, flowerManifest } from "./flower-archive.ts";

describe("describeBundle", () => {
  it("reads what a Flower App Bundle says of itself, integers apart from doubles", async () => {
    const { name, version, config } = await describeBundle(flowerArchive(flowerManifest));
    expect({ name, version, config: { ...config } }).toEqual({
      name: "some-publisher/flower-app",
      version: "1.2.3",
      config: {
        "num-rounds": 3n,
        "learning-rate": 1,
        label: "größe",
        "model.layers": 2n,
        "model.frozen": true,
      },
    });
  });

  it("reads a bundle of npm pack", async () => {
    const bundle = appBundle(
      { serverapp: "./app.js", config: { rounds: 3 } },
      { "app.js": "export default 1;" },
    );
    expect(await describeBundle(bundle)).toMatchObject({
      name: "test-app",
      version: "1.0.0",
      config: { rounds: 3 },
    });
  });

  it("finds no configuration in an app that has none", async () => {
    const [manifest = ""] = flowerManifest.split("[tool.flwr.app.config]");
    expect((await describeBundle(flowerArchive(manifest))).config).toEqual({});
  });

  it.each([
    ["is cut off", flowerArchive(flowerManifest).slice(0, 60), "not a valid zip archive"],
    ["has no manifest", zipSync({ "a.py": strToU8("") }), "has no pyproject.toml"],
    [
      "has a manifest that unpacks to more than a mebibyte",
      flowerArchive(`${flowerManifest}# ${"x".repeat(1024 * 1024)}`),
      "has no pyproject.toml of at most 1048576 bytes",
    ],
    ["has a manifest that is no TOML", flowerArchive("project = "), "not valid TOML"],
    [
      "names no publisher",
      flowerArchive(flowerManifest.replace(/publisher = .*/, "")),
      'lacks the text "publisher"',
    ],
    [
      "has no version",
      flowerArchive(flowerManifest.replace(/version = .*/, "version = 1")),
      'lacks the text "version"',
    ],
    ["is no Flower app", flowerArchive('[project]\nname = "a"\n'), 'lacks the table "tool"'],
    [
      "has a list for a config value",
      flowerArchive(flowerManifest.replace("num-rounds = 3", "num-rounds = [3]")),
      'config value "num-rounds"',
    ],
  ])("refuses a Flower App Bundle that %s", async (_what, bytes, text) => {
    await expect(describeBundle(bytes)).rejects.toThrow(text);
  });
});
