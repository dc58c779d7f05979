import { once } from "node:events";
import type { Server as NetServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { fixedToken } from "./answers.ts";
import { type FilledAuthority, openPostgresAuthority, openSqliteAuthority } from "./authorities.ts";
import { createBareServer, createCodecServer } from "./bare.ts";
import { seenBodies, watchBodies } from "./body-watch.ts";
import { createConnectServer, createGuardedConnectServer } from "./connect.ts";
import { startGrpcServer } from "./grpc-js.ts";
import { type GuardedOptions, serveGuarded, serveOpen } from "./ours.ts";
import { startMeasuredSuperLink } from "./superlink.ts";

/** A server that listens. */
interface Listening {
  readonly port: number;
  readonly token: string;
  /** Does what a line on stdin says; the answer goes to stdout. */
  readonly obey?: (command: string) => Promise<object>;
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
  oursLeanOff: async () => guarded(await sqlite(1), { leanPath: false }),
  oursGuarded10k: async () => guarded(await sqlite(10_000)),
  oursGuarded1m: async () => guarded(await sqlite(1_000_000)),
  oursPostgres: async () => guarded(await openPostgresAuthority(values.postgres)),
  oursStore: async () => ({ token: "", ...(await startMeasuredSuperLink(values.directory)) }),
};

const [name = ""] = positionals;
const start = starts[name];
if (start === undefined) throw new Error(`there is no server "${name}"`);
const { port, token, obey = watch } = await start();
console.log(JSON.stringify({ port, token }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await obey(line)));
}
// Whoever started it has gone when stdin ends.
process.exit();

/** `watch bodies` and `seen bodies`, for servers that do not keep what they are sent. */
async function watch(command: string): Promise<object> {
  if (command !== "watch bodies") return seenBodies();
  watchBodies();
  return {};
}

async function listen(server: NetServer, accepted: string = fixedToken): Promise<Listening> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return { port: address.port, token: accepted };
}

async function startGrpc(checksToken: boolean): Promise<Listening> {
  return { port: await startGrpcServer({ checksToken }), token: fixedToken };
}

async function guarded(
  authority: FilledAuthority,
  options: GuardedOptions = {},
): Promise<Listening> {
  return { port: (await serveGuarded(authority, options)).port, token: authority.token };
}
