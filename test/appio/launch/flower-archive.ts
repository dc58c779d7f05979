import { strToU8, zipSync } from "fflate";

/** A Flower App Bundle as `flwr build` packs it, of a pyproject.toml and nothing else. */
export function flowerArchive(manifest: string): Uint8Array {
  return zipSync({ "pyproject.toml": strToU8(manifest), ".info/CONTENT": strToU8("") });
}

/** A pyproject.toml of a Flower app, as `flwr build` writes it. */
export const flowerManifest = `
[project]
name = "flower-app"
version = "1.2.3"

[tool.flwr.app]
publisher = "some-publisher"

[tool.flwr.app.components]
serverapp = "flower_app.server_app:app"
clientapp = "flower_app.client_app:app"

[tool.flwr.app.config]
num-rounds = 3
learning-rate = 1.0
label = "größe"

[tool.flwr.app.config.model]
layers = 2
frozen = true
`;
