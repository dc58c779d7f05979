import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { generate } from "selfsigned";
import { describe, expect, it } from "vitest";
import { readPrivateKey } from "../../src/appio/credentials/private-key.ts";
import { transportTo } from "../../src/client/located-transport.ts";
import { Flower, hasFlower } from "./flower.ts";
import {
  addressOf,
  finished,
  openEchoExec,
  openSuperLink,
  openSuperNode,
  reports,
  showOnFailure,
  startRun,
} from "./ours.ts";

/** Makes a certificate for this machine, and a key pair as `ssh-keygen` makes it. */
async function makeSecrets(flower: Flower) {
  const made = await generate([{ name: "commonName", value: "127.0.0.1" }], {
    keyType: "ec",
    algorithm: "sha256",
    extensions: [{ name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] }],
  });
  const certificate = join(flower.home, "certificate.pem");
  const certificateKey = join(flower.home, "certificate-key.pem");
  await writeFile(certificate, made.cert);
  await writeFile(certificateKey, made.private);
  const nodeKey = join(flower.home, "node-key");
  await flower.probe("make_key.py", nodeKey);
  const publicKey = await readFile(`${nodeKey}.pub`, "utf8");
  return { ...made, certificate, certificateKey, nodeKey, publicKey };
}

describe.skipIf(!hasFlower)("over TLS, with the keys of the SuperNodes listed", () => {
  it("our SuperLink takes Flower's SuperNode that has a listed key, and no other", async () => {
    await using flower = await Flower.open();
    const secrets = await makeSecrets(flower);
    await using superLink = await openSuperLink({
      tls: { cert: secrets.cert, key: secrets.private },
      superNodeKeys: [secrets.publicKey],
    });
    await using serverApps = openEchoExec("serverapp", superLink.serverAppIoUrl);
    const trust = ["--root-certificates", secrets.certificate];
    const fleet = addressOf(superLink.fleetUrl);
    const stranger = await flower.startSuperNode(fleet, "stranger", trust);
    const superNode = await flower.startSuperNode(fleet, "listed", [
      ...[...trust, "--auth-supernode-private-key", secrets.nodeKey],
    ]);
    const clientApps = flower.startSuperExec("clientapp", superNode.clientAppIo);
    showOnFailure(stranger, superNode, clientApps, serverApps);
    // It takes being refused for an order to stop.
    await stranger.output.closed;
    const runId = await startRun(superLink, await flower.buildBundle(), {
      config: { "num-rounds": 1 },
      certificate: secrets.certificate,
    });
    expect(await finished(superLink, runId)).toMatchObject({ subStatus: "completed" });
    expect(await reports(superLink, runId)).toContainEqual({ round: 1, nodes: ["listed"] });
  });

  it("Flower's SuperLink takes our SuperNode that has a listed key", async () => {
    await using flower = await Flower.open();
    const secrets = await makeSecrets(flower);
    const superLink = await flower.startSuperLink([
      ...["--enable-supernode-auth", "--ssl-ca-certfile", secrets.certificate],
      ...["--ssl-certfile", secrets.certificate, "--ssl-keyfile", secrets.certificateKey],
    ]);
    await flower.connectTo(superLink, `root-certificates = "${secrets.certificate}"`);
    await flower.run("flwr", "supernode", "register", `${secrets.nodeKey}.pub`, "here");
    const fleet = transportTo(createGrpcTransport, {
      baseUrl: `https://${superLink.fleet}`,
      nodeOptions: { ca: secrets.cert },
    });
    const privateKey = readPrivateKey(await readFile(secrets.nodeKey, "utf8"), "the node's key");
    await expect(openSuperNode(fleet, "stranger")).rejects.toThrow();
    await using superNode = await openSuperNode(fleet, "listed", { privateKey });
    await using clientApps = openEchoExec("clientapp", superNode.clientAppIoUrl);
    await using serverApps = openEchoExec("serverapp", `http://${superLink.serverAppIo}`);
    showOnFailure(superLink, superNode, clientApps, serverApps);
    await flower.startRun({ "num-rounds": 1 });
    expect(await serverApps.output.find(/^ended: (.*)/)).toBe("completed");
    expect(await serverApps.output.find(/^(.*"round":1.*)$/)).toContain("listed");
  });
});
