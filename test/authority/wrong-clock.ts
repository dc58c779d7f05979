import { createAuthority } from "../../src/authority/index.ts";
import { isRefusal } from "../../src/policy/verifier.ts";
import { openPlace } from "../place.ts";

// A replica on a machine whose clock is decades behind: issues a token for run 7, then verifies what it is told to.
Date.now = () => Date.UTC(2000, 0, 1);

const [place = ""] = process.argv.slice(2);
const authority = await createAuthority({ database: await openPlace(JSON.parse(place)) });
process.on("message", async ({ verify }: { verify: string }) => {
  const answer = await authority.verify(verify);
  process.send?.({ verified: answer !== undefined && !isRefusal(answer) });
});
process.send?.({ token: await authority.issue(7n) });
