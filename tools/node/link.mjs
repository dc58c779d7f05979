/**
 * Makes node_modules/.bin/node, if npm has not. The platform packages of Node all
 * have a command of that name; npm 10, which comes with Node 20, removes it
 * together with those that are for other platforms. npm 11 does not.
 *
 * Runs after every install, on the Node that is there; it must do with Node 20.
 */
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";

const modules = fileURLToPath(new URL("../../node_modules/", import.meta.url));
const manifest = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));
const link = `${modules}.bin/node`;

if (!existsSync(link) && !existsSync(`${link}.cmd`)) {
  const name = Object.keys(manifest.optionalDependencies).find((each) =>
    existsSync(`${modules}${each}/bin/node`),
  );
  if (name === undefined) {
    throw new Error("npm has installed no Node for this platform: see tools/node/package.json");
  }
  mkdirSync(`${modules}.bin`, { recursive: true });
  symlinkSync(`../${name}/bin/node`, link);
}
