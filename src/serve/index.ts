export type { BrowserOptions } from "./browsers.ts";
export { type CorsLists, corsLists } from "./cors.ts";
export { healthPolicy } from "./health.ts";
export type { ServeLimits } from "./limits.ts";
export type { ServeTls } from "./listener.ts";
export { type CloseOptions, type ServeOptions, type Server, serve } from "./serve.ts";
