import { EventEmitter, once } from "node:events";
import type { SqlDatabase } from "../../src/authority/index.ts";
import { createAuthority, migrate, toSqlInteger } from "../../src/authority/index.ts";
import type { TokenTables } from "../../src/authority/token-table.ts";
import { tokenSchema } from "../../src/authority/token-table.ts";
import { digestToken, parseToken } from "../../src/policy/token.ts";
import { openPlace } from "../place.ts";

/** What the race tells a claimant: to claim a run some times at once, or to go on after its pauses. */
export type Told = { readonly claim: bigint; readonly times: number } | { readonly goOn: true };

/** What a claimant answers: it is ready, one of its claims pauses, or how many claims won. */
export type Heard = "ready" | "paused" | { readonly won: number };

/** Claims a run once; `pause` is where a claim that looks first and writes later waits for the others. */
type Claim = (runId: bigint, pause: () => Promise<void>) => Promise<boolean>;

const claims: Record<string, (database: SqlDatabase<TokenTables>) => Promise<Claim>> = {
  async authority(database) {
    const authority = await createAuthority({ database });
    return async (runId) => (await authority.issue(runId)) !== undefined;
  },

  /** What the authority must not do: the shape of the token store it replaces. */
  async "select-then-insert"(database) {
    await migrate(database, tokenSchema);
    return async (runId, pause) => {
      const found = await database.query
        .selectFrom("token")
        .select("run_id")
        .where("run_id", "=", toSqlInteger(runId))
        .where("active_until_ms", ">=", BigInt(Date.now()))
        .executeTakeFirst();
      await pause();
      if (found !== undefined) {
        return false;
      }
      const row = {
        run_id: toSqlInteger(runId),
        digest: digestToken(parseToken(crypto.randomUUID())),
        active_until_ms: BigInt(Date.now() + 30_000),
      };
      await database.query
        .insertInto("token")
        .values(row)
        .onConflict((conflict) => conflict.column("run_id").doUpdateSet(row))
        .execute();
      return true;
    };
  },
};

const [place = "", way = ""] = process.argv.slice(2);
const database = await openPlace(JSON.parse(place));
const claim = await claims[way]?.(database.withTables<TokenTables>());
if (claim === undefined) {
  throw new Error(`no way to claim is called ${way}`);
}

const race = new EventEmitter();
async function pause(): Promise<void> {
  const released = once(race, "goOn");
  send("paused");
  await released;
}

process.on("message", async (message: Told) => {
  if ("goOn" in message) {
    race.emit("goOn");
    return;
  }
  const results = await Promise.all(
    Array.from({ length: message.times }, () => claim(message.claim, pause)),
  );
  send({ won: results.filter((won) => won).length });
});
send("ready");

function send(message: Heard): void {
  process.send?.(message);
}
