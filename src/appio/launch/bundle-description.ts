import { readBundle } from "./bundle.ts";
import { type BundleDescription, isFlowerBundle, readFlowerBundle } from "./flower-bundle.ts";

export type { BundleDescription } from "./flower-bundle.ts";

/**
 * Reads what an app bundle says of itself: one of `npm pack`, which our processes run, or one of `flwr build`, which
 * Flower's do. It runs nothing of the bundle.
 *
 * @throws Error that says what is wrong with the bundle
 */
export async function describeBundle(bytes: Uint8Array): Promise<BundleDescription> {
  return isFlowerBundle(bytes) ? readFlowerBundle(bytes) : readBundle(bytes);
}
