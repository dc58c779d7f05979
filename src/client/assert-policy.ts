import type { DescService } from "@bufbuild/protobuf";
import type { AnyPolicy } from "../policy/policy.ts";

/**
 * Throws unless a value is a policy, of the given service if there is one. The
 * compiler refuses all else already, but JavaScript does not ask it.
 *
 * @throws TypeError naming what was expected.
 */
export function assertPolicy(policy: AnyPolicy, service?: DescService): void {
  if (typeof policy?.ruleOf !== "function" || policy.service?.kind !== "service") {
    throw new TypeError('"policy" must be made by definePolicy(...)');
  }
  // By identity: rules are found by the descriptors of the methods, and a second
  // copy of the generated code has other ones.
  if (service !== undefined && policy.service !== service) {
    throw new TypeError(
      `"policy" is a policy of ${policy.service.typeName}, and not of this client's own descriptor of ${service.typeName}`,
    );
  }
}
