import { once } from "node:events";
import type { Server as NetServer } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fixedToken } from "./answers.ts";
import { type FilledAuthority, openPostgresAuthority, openSqliteAuthority } from "./authorities.ts";
import { createBareServer, createCodecServer } from "./bare.ts";
import { createConnectServer, createGuardedConnectServer } from "./connect.ts";
import { startGrpcServer } from "./grpc-js.ts";
import { serveGuarded, serveOpen } from "./ours.ts";

/** A server that listens. */
interface Listening {
  readonly port: number;
  readonly token: string;
}

const { values, positionals } = parseArgs({
  options: {
    /** A directory for files, which is removed by whoever started the process. */
    directory: { type: "string", default: "" },
    /** Directory of PostgreSQL's socket. */
    postgres: { type: "string", default: "" },
  },
  allowPositionals: true,
});

const sqlite = (liveTokens: number) =>
  openSqliteAuthority(join(values.directory, `tokens-${liveTokens}.sqlite`), liveTokens);

const starts: Readonly<Record<string, () => Promise<Listening>>> = {
  bare: () => listen(createBareServer()),
  codec: () => listen(createCodecServer()),
  connect: () => listen(createConnectServer()),
  connectGuarded: async () => {
    const authority = await sqlite(1);
    return listen(createGuardedConnectServer(authority), authority.token);
  },
  grpcJs: () => startGrpc(false),
  grpcJsToken: () => startGrpc(true),
  oursOpen: async () => ({ port: (await serveOpen()).port, token: fixedToken }),
  oursGuarded1: async () => guarded(await sqlite(1)),
  oursGuarded10k: async () => guarded(await sqlite(10_000)),
  oursGuarded1m: async () => guarded(await sqlite(1_000_000)),
  oursPostgres: async () => guarded(await openPostgresAuthority(values.postgres)),
};

const [name = ""] = positionals;
const start = starts[name];
if (start === undefined) throw new Error(`there is no server "${name}"`);
console.log(JSON.stringify(await start()));
// Whoever started it has gone when stdin ends.
process.stdin.on("end", () => process.exit()).resume();

async function listen(server: NetServer, token: string = fixedToken): Promise<Listening> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return { port: address.port, token };
}

async function startGrpc(checksToken: boolean): Promise<Listening> {
  return { port: await startGrpcServer({ checksToken }), token: fixedToken };
}

async function guarded(authority: FilledAuthority): Promise<Listening> {
  return { port: (await serveGuarded(authority)).port, token: authority.token };
}
