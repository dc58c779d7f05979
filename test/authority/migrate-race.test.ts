import { expect, test } from "vitest";
import { createSharedPlace } from "../store.ts";
import { startChild } from "./child.ts";
import type { Heard, Told } from "./claimant.ts";

test("each step is taken once when four processes start on an empty database at once", async () => {
  const place = JSON.stringify(await createSharedPlace());
  const starting = Array.from({ length: 4 }, () =>
    startChild<Told, Heard>("claimant.ts", place, "authority"),
  );
  expect(await Promise.all(starting.map((child) => child.hear()))).toEqual(
    starting.map(() => "ready"),
  );
});
