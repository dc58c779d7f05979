export { assertNoFindings, attack } from "./attack.ts";
export type { AttackReport, AttackRow } from "./attack-run.ts";
export { type AttackTestOptions, attackTests, type TestRunner } from "./attack-tests.ts";
export type { Breadth, Expectation } from "./cells.ts";
export type { HttpVersion, Protocol } from "./columns.ts";
export type {
  CredentialMaterial,
  CredentialMaterials,
  LiveCredential,
  PresentedCredential,
} from "./credential-cases.ts";
export {
  type Finding,
  type FindingGroup,
  type FindingKind,
  findingText,
  groupFindings,
} from "./finding.ts";
export { formatReport } from "./format-report.ts";
export type { AttackLimits, AttackOptions, AttackProgress, ExpectedRefusal } from "./options.ts";
export type { AttackTarget } from "./target.ts";
