import { test } from "vitest";
import { openPlace } from "../place.ts";
import { createSharedPlace } from "../store.ts";
import { floodWhileTokensEnd } from "./revocation-flood.ts";

test("no call is served with a token that another replica has ended", async () => {
  const place = await createSharedPlace();
  const databases = [await openPlace(place), await openPlace(place)] as const;
  await floodWhileTokensEnd(databases[0], databases[1], 15);
  await Promise.all(databases.map((database) => database.close()));
});
