/** Which kind of app a SuperExec starts: it decides the service that is polled. */
export type PluginType = "serverapp" | "clientapp";
