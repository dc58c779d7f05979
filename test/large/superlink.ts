import { openGrpc } from "../../src/appio/grpc-connection.ts";
import { RunConnection } from "../../src/appio/runtime/run-connection.ts";
import { startSuperLink } from "../../src/appio/superlink/superlink.ts";
import { parseToken } from "../../src/policy/token.ts";
import { peakBytes, readTask, tell } from "./step.ts";

// A SuperLink on a SQLite file, with a run that is running and stays so.
const { database = "" } = await readTask();
const superLink = await startSuperLink({
  databasePath: database,
  operatorToken: parseToken("nobody-operates-this"),
  serverAppIoPort: 0,
  fleetPort: 0,
  controlPort: 0,
});
const { runs, inputs } = superLink.state;
const [runId = 0n] = await runs.create({ fab: new Uint8Array([1]), overrideConfig: {} });
const token = parseToken((await runs.claim(runId)) ?? "");
await inputs.start(runId);
// The steps have no heartbeat of their own.
const { transport, close } = openGrpc(superLink.serverAppIoUrl);
const connection = new RunConnection({ transport, token });
const keepAlive = setInterval(() => void connection.sendAppHeartbeat(), 10_000);
await connection.sendAppHeartbeat();
tell({
  serverAppIo: superLink.serverAppIoUrl,
  fleet: superLink.fleetUrl,
  runId: String(runId),
  token,
  before: peakBytes(),
});
process.stdin.resume().once("end", async () => {
  clearInterval(keepAlive);
  close();
  tell({ after: peakBytes() });
  await superLink.close();
  process.exit();
});
