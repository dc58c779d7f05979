import { createAuthority, openSqlite } from "../../src/authority/index.ts";

// Opens a file for itself, issues a token for run 7 in it, sends the token, and keeps the file open until it is killed.
const [path = ""] = process.argv.slice(2);
const authority = await createAuthority({ database: await openSqlite({ path }) });
process.send?.(await authority.issue(7n));
process.on("message", () => {});
