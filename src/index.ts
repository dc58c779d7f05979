export {
  type AuthenticatedClient,
  type ClientOptions,
  createAuthenticatedClient,
  createServiceClient,
  type PolicyOf,
} from "./client/authenticated-client.ts";
export type {
  ClientCredential,
  ClientCredentials,
  SignCall,
  Signer,
} from "./client/client-credentials.ts";
export {
  inProcess,
  type LocatedTransport,
  type TransportToOptions,
  transportTo,
} from "./client/located-transport.ts";
export { createOpenClient, type OpenClient } from "./client/open-client.ts";
export {
  createPartialClient,
  type MethodFor,
  type PartialClient,
  type SomeCredentials,
} from "./client/partial-client.ts";

export type { HeaderSource } from "./guard/decide.ts";

export type {
  DecisionCount,
  DecisionEvent,
} from "./guard/decisions.ts";
export {
  type CheckedServices,
  type CredentialOfServices,
  createGuard,
  type Guard,
  type GuardOptions,
  type GuardSettings,
  type VerifiersFor,
} from "./guard/guard.ts";
export {
  authenticationFailedText,
  permissionDeniedText,
  verificationUnavailableText,
} from "./guard/refusal.ts";
export {
  type AnyService,
  type ContextUnder,
  type HandlerOf,
  type HandlersOf,
  type HandlerUnder,
  type Service,
  type ServiceOptions,
  service,
  type Unimplemented,
  unimplemented,
} from "./guard/service.ts";
export {
  type AnyCredential,
  type BoundFieldsOf,
  type ClaimBinding,
  type ClaimDeclaration,
  type ClaimKind,
  type ClaimsOf,
  type ClaimValue,
  type ClaimValues,
  type Credential,
  type CredentialOptions,
  credential,
  type Presented,
  type SecretCredentialOptions,
  type SignedCredentialOptions,
} from "./policy/credential.ts";
export {
  type AnyPolicy,
  type CallerOf,
  type CredentialOf,
  type CredentialOfRule,
  definePolicy,
  type OpenMethodOf,
  type Policy,
  type ProtectedMethodOf,
  type RequestOf,
  type RequestUnder,
  type RuleOf,
} from "./policy/policy.ts";
export {
  anyOf,
  type OpenRule,
  open,
  type ProtectedRule,
  type Rule,
  type RuleOptions,
  requires,
} from "./policy/rule.ts";
export {
  digestToken,
  isToken,
  maxTokenLength,
  parseToken,
  type Token,
  type TokenDigest,
} from "./policy/token.ts";
export {
  isRefusal,
  isStoreUnavailable,
  type Refusal,
  refusal,
  type StoreUnavailable,
  storeUnavailable,
  type Verification,
  type Verifier,
  type VerifyCall,
} from "./policy/verifier.ts";
